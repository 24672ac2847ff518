"""The worker: arq's settings for the current configuration, with every job running in the app's context."""

import dataclasses
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from arq import cron, func
from arq.connections import RedisSettings

from app import valkey
from app.accounts import jobs as accounts
from app.checks import check_database, check_redis, demand_now
from app.config import Config, load_settings
from app.environment import load_environment
from app.factory import create_app
from app.jobs.heartbeat import SHARED_KEY, Heartbeat
from app.redis import deserialize, serialize, worker_redis

Job = Callable[[], Awaitable[object]]


def worker_settings(config_name: str | None = None) -> type:
    """The class that arq reads, made for a named configuration. All attributes are its own: arq ignores inherited ones.

    Raises `ConfigurationError`, or `NotReady` when Redis or the database cannot be used. In development the embedded
    Valkey is started if nobody has done so.
    """
    load_environment()
    settings = load_settings(config_name)
    if settings.embedded_valkey:
        valkey.ensure_running(settings.INSTANCE_PATH)
    demand_now(check_redis, settings)
    demand_now(check_database, settings)

    stopping = threading.Event()

    async def on_startup(ctx: dict[str, Any]) -> None:
        ctx["app"] = app = create_app(config_name)
        app.extensions["draining"] = stopping  # the app notices the signal
        await app.startup()
        # The command `arq` has given its logger a handler of its own; ours writes the same lines with the rest.
        logging.getLogger("arq").handlers.clear()
        ctx["heartbeat"] = Heartbeat(ctx["redis"], settings.WORKER_HEALTH_INTERVAL)
        await ctx["heartbeat"].start()

    async def on_shutdown(ctx: dict[str, Any]) -> None:
        if "heartbeat" in ctx:
            await ctx["heartbeat"].stop()
        if "app" in ctx:
            await ctx["app"].shutdown()

    expire = in_context(accounts.delete_expired_credentials)
    attributes = {
        "functions": [func(expire, name=expire.__name__)],
        "cron_jobs": [cron(expire, name="hourly", minute=7, unique=True)],
        "redis_pool": worker_redis(settings, stopping),
        # Only `arq --check` uses this one: it knows nothing of pools.
        "redis_settings": redis_settings(settings),
        # The worker has its own say about payloads, whatever the pool says; pickle would run what is planted in Redis.
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


def in_context(job: Job) -> Any:
    """A job as arq calls it, running inside the app's context."""

    async def run(ctx: dict[str, Any]) -> object:
        async with ctx["app"].app_context():
            return await job()

    run.__name__ = run.__qualname__ = f"{job.__module__.split('.')[1]}.{job.__name__}"
    return run
