"""The worker: arq's settings for the current configuration.

What it runs comes out of the database: see `runner`.
"""

import contextlib
import dataclasses
import logging
import os
import socket
import sys
import threading
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from arq import func
from arq.connections import RedisSettings
from arq.constants import default_queue_name

from app.config import Config, load_settings
from app.environment import load_environment
from app.factory import create_app
from app.health import probes
from app.jobs.engine.arq_queue import RUN
from app.jobs.engine.heartbeat import Heartbeat
from app.jobs.engine.runner import Runner
from app.jobs.engine.watchdog import GRACE
from app.jobs.queue import KINDS
from app.jobs.workers import SHARED_KEY
from app.redis import deserialize, serialize, worker_redis


def worker_settings(config_name: str | None = None) -> type:
    """The class that arq reads, made for a named configuration.

    All attributes are its own: arq ignores inherited ones.

    Raises `ConfigurationError`, or `NotReady` when Redis or the database cannot be used. In
    development the embedded Valkey is started if nobody has done so.
    """
    load_environment()
    settings = load_settings(config_name)
    if settings.embedded_valkey:
        # Imported late: production goes without it. Where it is missing, the check of Redis says
        # what to do.
        with contextlib.suppress(ModuleNotFoundError):
            from development.valkey import ensure_running

            ensure_running(settings.INSTANCE_PATH)
    probes.require_now(settings, probes.redis, probes.database)

    stopping = threading.Event()
    name = f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid4().hex[:8]}"
    # A queue of its own: what is in it has been leased by this worker, and nobody else could run
    # it.
    redis = worker_redis(settings, f"{default_queue_name}:{name}", stopping)

    async def on_startup(ctx: dict[str, Any]) -> None:
        ctx["app"] = app = create_app(config_name)
        app.extensions["draining"] = stopping  # the app notices the signal
        await app.startup()
        # The command `arq` has given its logger a handler of its own; ours writes the same lines
        # with the rest. Its lines about single jobs would be the second of each, without names.
        logging.getLogger("arq").handlers.clear()
        logging.getLogger("arq").setLevel(logging.WARNING)
        ctx["heartbeat"] = Heartbeat(redis, name, settings.WORKER_HEALTH_INTERVAL)
        await ctx["heartbeat"].start()
        ctx["runner"] = Runner(app, redis, settings, name, stopping)
        await ctx["runner"].start()

    async def on_shutdown(ctx: dict[str, Any]) -> None:
        for part in ("runner", "heartbeat"):
            if part in ctx:
                await ctx[part].stop()
        if "app" in ctx:
            await ctx["app"].shutdown()
        if "runner" in ctx and ctx["runner"].failed:
            sys.exit(1)

    async def run(ctx: dict[str, Any], key: str) -> None:
        await ctx["runner"].run(key)

    longest = max([settings.WORKER_JOB_TIMEOUT, *(kind.timeout or 0 for kind in KINDS.values())])
    attributes = {
        # Handed over again, a key may be begun twice; the second time `run` does nothing. That is
        # no failure.
        "functions": [func(run, name=RUN, timeout=longest + 2 * GRACE, max_tries=1000)],
        "redis_pool": redis,
        "queue_name": redis.default_queue_name,
        # Only `arq --check` uses this one: it knows nothing of pools.
        "redis_settings": redis_settings(settings),
        # The worker has its own say about payloads, whatever the pool says; pickle would run what
        # is planted in Redis.
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
        "health_check_key": SHARED_KEY,
    }
    return type("WorkerSettings", (), attributes)


def redis_settings(settings: Config) -> RedisSettings:
    """The address of Redis as arq takes it, which forgets that a path may be quoted."""
    parsed = RedisSettings.from_dsn(settings.REDIS_URL)
    path = parsed.unix_socket_path
    return dataclasses.replace(parsed, unix_socket_path=unquote(path)) if path else parsed
