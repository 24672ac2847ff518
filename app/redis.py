"""Redis, with a time-out on everything: a server that hangs must not hang us."""

import json
import threading
from typing import Any, cast

from arq.connections import ArqRedis
from quart import current_app
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from werkzeug.local import LocalProxy

from app.config import Config
from app.patches.arq_watch import UnwatchedArqRedis

# What the client raises while the server is away, hangs or refuses: for whoever goes on without it.
REDIS_AWAY = (RedisError, OSError, TimeoutError)
# redis-py passes some of Python's own errors through. A server that takes no writes is as good as
# away.
TRANSIENT = [RedisConnectionError, RedisTimeoutError, OSError, OutOfMemoryError, ReadOnlyError]


def request_redis(settings: Config) -> Redis:
    """The client of requests: it gives up soon, since a request goes on without Redis."""
    client: Redis = Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_TIMEOUT,
        socket_connect_timeout=settings.REDIS_TIMEOUT,
        # One more try at once, since a pooled connection may have died, but not after a time-out:
        # that would double it.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        max_connections=50,
    )
    return client


class UntilStopped(ExponentialBackoff):
    """Waits between attempts from 0.1 s doubling to 5 s, but not once the process has been told to
    stop.
    """

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__(cap=5, base=0.1)
        self.stopping = stopping

    def __deepcopy__(self, memo: object) -> "UntilStopped":
        return self  # each connection takes a copy of its retries, and all must see the same event

    def compute(self, failures: int) -> float:
        """Seconds to wait after so many failures."""
        if self.stopping.is_set():
            raise RedisConnectionError("Redis is away, and this worker has been told to stop")
        return float(super().compute(failures))


def worker_redis(settings: Config, queue: str, stopping: threading.Event) -> ArqRedis:
    """The client of arq.

    It waits for a server that is away until it is told to stop, and never executes what it reads.

    Payloads are JSON; arq's default, pickle, runs code that whoever reaches Redis may plant there.
    """
    pool = BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.WORKER_REDIS_TIMEOUT,
        socket_connect_timeout=settings.WORKER_REDIS_TIMEOUT,
        retry=Retry(UntilStopped(stopping), -1),
        retry_on_error=TRANSIENT,
        max_connections=settings.WORKER_MAX_JOBS + 10,
        timeout=settings.WORKER_REDIS_TIMEOUT,
    )
    return UnwatchedArqRedis(
        pool, job_serializer=serialize, job_deserializer=deserialize, default_queue_name=queue
    )


def serialize(payload: dict[str, Any]) -> bytes:
    """An arq payload as JSON. A result that is an exception is kept as its text."""
    return json.dumps(payload, default=repr).encode()


def deserialize(payload: bytes) -> dict[str, Any]:
    """An arq payload out of JSON.

    Raises `ValueError` for what arq itself would stumble over, again and again.
    """
    job = json.loads(payload)
    shapes = {"f": str, "a": list, "k": dict, "t": int | None, "et": int}
    if not isinstance(job, dict) or not all(
        isinstance(job.get(key), shape) for key, shape in shapes.items()
    ):
        raise ValueError("not a job")
    return job


redis = cast(Redis, LocalProxy(lambda: current_app.extensions["redis"]))
