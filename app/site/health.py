"""Whether this process can serve: the database, its schema, Redis and the workers."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from quart import Quart, current_app
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.database import db
from app.jobs.heartbeat import any_worker
from app.migrations import Revisions, Schema
from app.redis import redis

State = Literal["ok", "degraded", "down"]

# A frozen server must not freeze the probe.
PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Component:
    """A part that requests need (`down` when away) or can do without for a while (`degraded`)."""

    name: str
    state: State
    detail: str


async def components() -> list[Component]:
    """How every part is, found out at the same time."""
    database, rest = await asyncio.gather(
        _patiently(_database, "down"), _patiently(_redis, "degraded")
    )
    return [*database, *rest]


def is_draining() -> bool:
    """Whether this process has been told to stop, and finishes what it has begun."""
    return bool(current_app.extensions["draining"].is_set())


def init_app(app: Quart) -> None:
    """Notice the signal to stop, so that a load balancer is told before the last connection
    closes.
    """
    app.extensions["draining"] = threading.Event()
    app.extensions["revisions"] = Revisions()

    def note(signum: int, frame: FrameType | None) -> None:
        app.extensions["draining"].set()

    @app.before_serving
    async def listen() -> None:
        # The server has handlers of its own on the event loop. Those are woken by the interpreter's
        # wake-up descriptor, whatever Python function is installed for the signal, so this one only
        # adds to them.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        ):
            signal.signal(signal.SIGTERM, note)
            signal.siginterrupt(signal.SIGTERM, False)


async def _database() -> list[Component]:
    async with db.connect() as connection:
        schema = await current_app.extensions["revisions"].schema(connection)
    served = schema in (Schema.CURRENT, Schema.AHEAD)
    return [
        Component("database", "ok", "answers"),
        Component("schema", "ok" if served else "down", schema.value),
    ]


async def _redis() -> list[Component]:
    # Writing shows what a ping does not: a server that is out of memory or read-only.
    await redis.set("readyz", b"", ex=60)
    alive = await any_worker(redis)
    return [
        Component("redis", "ok", "answers"),
        Component(
            "worker",
            "ok" if alive else "degraded",
            "is alive" if alive else "none is alive: jobs wait",
        ),
    ]


async def _patiently(
    look: Callable[[], Awaitable[list[Component]]], otherwise: State
) -> list[Component]:
    name = look.__name__.strip("_")
    try:
        async with asyncio.timeout(PATIENCE):
            return await look()
    except TimeoutError:
        return [Component(name, otherwise, "does not answer in time")]
    except OutOfMemoryError:
        return [Component(name, otherwise, "is out of memory")]
    except ReadOnlyError:
        return [Component(name, otherwise, "is read-only")]
    except (RedisError, SQLAlchemyError, OSError):
        return [Component(name, otherwise, "does not answer")]
