"""Clients of Redis. Every operation has a time-out, so that a server that hangs hangs nothing."""

import json
import threading
from typing import Any, cast

from arq.connections import ArqRedis
from quart import current_app
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from werkzeug.local import LocalProxy

from app.config import Config
from app.multiplexed_redis import MultiplexedRedis
from app.patches.arq_keys import prefix_keys
from app.patches.arq_watch import UnwatchedArqRedis
from app.patches.redis_sends import CLASSES
from app.validators.redis_url import options

# Errors that a worker retries. redis-py lets some of Python's own errors through, and a server that
# refuses writes is no better than one that is away.
TRANSIENT = [RedisConnectionError, RedisTimeoutError, OSError, OutOfMemoryError, ReadOnlyError]


def request_redis(settings: Config) -> MultiplexedRedis:
    """Return the client for requests, which gives up early: a request can go on without Redis."""
    pool = ConnectionPool(
        **_connecting(settings),
        socket_timeout=settings.REDIS_TIMEOUT,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        # One retry at once, since a pooled connection may have died; none after a time-out, which
        # would double it.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        max_connections=50,
    )
    client = MultiplexedRedis(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client


def _connecting(settings: Config) -> dict[str, Any]:
    found = options(settings.REDIS_URL)
    return found | {"connection_class": CLASSES[found.get("connection_class", Connection)]}


class UntilStopped(ExponentialBackoff):
    """Back off from 0.1 s, doubling up to 5 s, until the process has been told to stop."""

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__(cap=5, base=0.1)
        self.stopping = stopping

    def __deepcopy__(self, memo: object) -> "UntilStopped":
        return self  # each connection copies its retries, and all must see the same event

    def compute(self, failures: int) -> float:
        """Return the seconds to wait after this number of failures. Raises when told to stop."""
        if self.stopping.is_set():
            raise RedisConnectionError("Redis is away, and this worker has been told to stop")
        return float(super().compute(failures))


def worker_redis(settings: Config, queue: str, stopping: threading.Event) -> ArqRedis:
    """Return the client for arq, which retries until the server is back or `stopping` is set.

    From then on all keys of arq in this process begin with REDIS_PREFIX, and so does the name of
    the queue. Payloads are JSON. arq's default, pickle, executes code that anybody with access to
    Redis can plant there.
    """
    prefix_keys(settings.REDIS_PREFIX)
    pool = BlockingConnectionPool(
        **_connecting(settings),
        socket_timeout=settings.WORKER_REDIS_TIMEOUT,
        socket_connect_timeout=settings.WORKER_REDIS_TIMEOUT,
        retry=Retry(UntilStopped(stopping), -1),
        retry_on_error=TRANSIENT,
        max_connections=settings.WORKER_MAX_JOBS + 10,
        timeout=settings.WORKER_REDIS_TIMEOUT,  # type: ignore[arg-type]  # a float will do
    )
    return UnwatchedArqRedis(
        pool,
        job_serializer=serialize,
        job_deserializer=deserialize,
        default_queue_name=settings.redis_key(queue),
    )


def serialize(payload: dict[str, Any]) -> bytes:
    """Return an arq payload as JSON. An exception, as a result, is kept as its text."""
    return json.dumps(payload, default=repr).encode()


def deserialize(payload: bytes) -> dict[str, Any]:
    """Return the arq payload in this JSON.

    Raises `ValueError` for a malformed one, which arq would otherwise fail on again and again.
    """
    job = json.loads(payload)
    shapes = {"f": str, "a": list, "k": dict, "t": int | None, "et": int}
    if not isinstance(job, dict) or not all(
        isinstance(job.get(key), shape) for key, shape in shapes.items()
    ):
        raise ValueError("not a job")
    return job


redis = cast(Redis, LocalProxy(lambda: current_app.extensions["redis"]))
