"""Redis, with a time-out on everything: a server that hangs must not hang us."""

import json
from typing import Any, cast

from arq.connections import ArqRedis
from quart import current_app
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from werkzeug.local import LocalProxy

from app.config import Config

# redis-py passes some of Python's own errors through.
TRANSIENT = [RedisConnectionError, RedisTimeoutError, OSError]


def request_redis(settings: Config) -> Redis:
    """The client of requests: it gives up soon, since a request goes on without Redis."""
    pool = ConnectionPool.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_TIMEOUT,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        # One more try at once: a pooled connection may have died since its last use.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError],
        max_connections=50,
    )
    return Redis(connection_pool=pool)


def worker_redis(settings: Config) -> ArqRedis:
    """Arq's client: it waits for a server that restarts, for about a minute, and never executes what it reads.

    Payloads are JSON; arq's default, pickle, runs code that whoever reaches Redis may plant there.
    """
    pool = BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.WORKER_REDIS_TIMEOUT,
        socket_connect_timeout=settings.WORKER_REDIS_TIMEOUT,
        retry=Retry(ExponentialBackoff(cap=5, base=0.1), 16),
        retry_on_error=TRANSIENT,
        max_connections=settings.WORKER_MAX_JOBS + 10,
        timeout=settings.WORKER_REDIS_TIMEOUT,
    )
    return ArqRedis(pool, job_serializer=serialize, job_deserializer=json.loads)


def serialize(payload: dict[str, Any]) -> bytes:
    """An arq payload as JSON. A result that is an exception is kept as its text."""
    return json.dumps(payload, default=repr).encode()


redis = cast(Redis, LocalProxy(lambda: current_app.extensions["redis"]))
