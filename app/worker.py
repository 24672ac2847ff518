"""The assembly of a worker: arq's settings for a configuration.

What it runs comes out of the database: see app/jobs/engine/README.md.
"""

import contextlib
import logging
import os
import socket
import threading
from typing import Any
from uuid import uuid4

from arq import func
from arq.connections import RedisSettings
from redis.asyncio.connection import SSLConnection

from app.config import DAY, Config, load_settings
from app.environment import load_environment
from app.factory import create_app
from app.health import probes
from app.health.announcement import announce
from app.jobs.engine.arq_queue import QUEUE, RUN
from app.jobs.engine.ending import Ending
from app.jobs.engine.heartbeat import Heartbeat
from app.jobs.engine.runner import Runner
from app.jobs.queue import KINDS
from app.jobs.workers import SHARED_KEY, identify_database
from app.process import settle
from app.redis import deserialize, serialize, worker_redis
from app.validators.redis_url import options


def worker_settings(config_name: str | None = None, *, alone: bool = False) -> type:
    """Make the class that arq reads, for the configuration of this name.

    A worker that is `alone` in its process ends that process when it stops.

    It inherits nothing, since arq ignores inherited attributes. In development the embedded Valkey
    is started unless it runs. Raises `ConfigurationError`, and `NotReady` when Redis or the
    database cannot be used.
    """
    load_environment()
    settings = load_settings(config_name)
    if settings.embedded_valkey:
        # Imported late: production does not have it. Where it is missing, the probe of Redis says
        # what to do.
        with contextlib.suppress(ModuleNotFoundError):
            from development.valkey import ensure_running

            ensure_running(settings.INSTANCE_PATH)
    probes.require_now(settings, probes.redis, probes.database)

    stopping = threading.Event()
    name = f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid4().hex[:8]}"
    # A queue of its own: it holds slots for jobs that this worker has leased.
    redis = worker_redis(settings, f"{QUEUE}:{name}", stopping)

    async def on_startup(ctx: dict[str, Any]) -> None:
        if alone:
            ending.begin(ctx)
        ctx["app"] = app = create_app(config_name)
        app.extensions["draining"] = stopping
        announce(settings, config_name)
        await app.startup()
        # The command `arq` gives its logger a handler of its own; without it, the app's handler
        # writes these lines. Those about single jobs would repeat the engine's, without names.
        logging.getLogger("arq").handlers.clear()
        logging.getLogger("arq").setLevel(logging.WARNING)
        database = await identify_database(app.extensions["database"].engine)
        ctx["heartbeat"] = Heartbeat(redis, settings, name, database)
        await ctx["heartbeat"].start()
        ctx["runner"] = Runner(app, redis, settings, name, stopping)
        settle()
        await ctx["runner"].start()

    async def on_shutdown(ctx: dict[str, Any]) -> None:
        for part in ("runner", "heartbeat"):
            if part in ctx:
                await ctx.pop(part).stop()
        if "app" in ctx:
            await ctx.pop("app").shutdown()

    ending = Ending(stopping, on_shutdown)

    async def run(ctx: dict[str, Any], slot: str) -> None:
        await ctx["runner"].run(slot)

    longest = max([settings.WORKER_JOB_TIMEOUT, *(kind.timeout or 0 for kind in KINDS.values())])
    attributes = {
        # A slot that is asked for again may be opened twice. The second time `run` does nothing,
        # which must not count as a failure. Time limits are the engine's: arq's would end a job
        # after the process was suspended, and log a failure of what another worker has done
        # meanwhile.
        "functions": [func(run, name=RUN, timeout=longest + DAY, max_tries=1000)],
        "redis_pool": redis,
        "queue_name": redis.default_queue_name,
        # Only `arq --check` uses these: it does not take a pool.
        "redis_settings": redis_settings(settings),
        # The worker ignores the pool's serializers, and pickle would run code planted in Redis.
        "job_serializer": serialize,
        "job_deserializer": deserialize,
        "on_startup": on_startup,
        "on_shutdown": on_shutdown,
        "max_jobs": settings.WORKER_MAX_JOBS,
        "job_timeout": settings.WORKER_JOB_TIMEOUT,
        "job_completion_wait": settings.WORKER_COMPLETION_WAIT,
        "max_tries": 1,
        "keep_result": 0,
        "poll_delay": settings.WORKER_POLL_DELAY,
        "health_check_interval": settings.WORKER_HEALTH_INTERVAL,
        "health_check_key": settings.redis_key(SHARED_KEY),
    }
    return type("WorkerSettings", (), attributes)


def redis_settings(settings: Config) -> RedisSettings:
    """Return REDIS_URL for arq, whose own parser unquotes nothing and knows no options."""
    found = options(settings.REDIS_URL)
    return RedisSettings(
        host=found.get("host", "localhost"),
        port=found.get("port", 6379),
        unix_socket_path=found.get("path"),
        database=found.get("db", 0),
        username=found.get("username"),
        password=found.get("password"),
        ssl=found.get("connection_class") is SSLConnection,
        **{name: value for name, value in found.items() if name.startswith("ssl_")},
    )
