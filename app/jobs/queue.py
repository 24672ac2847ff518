"""Putting work into the queue, and declaring what the work is."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

from quart import Quart, current_app
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import DAY
from app.database import after_commit, insert_into
from app.jobs.models import Job, db_now

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Awaitable[object]])

CHANNEL = "jobs:wake"
# Bytes of a job's arguments as JSON: ids, not data. What is large belongs in a table of its own.
LARGEST_ARGUMENTS = 8 * 1024
# With the back-off of `Config` these are spread over about an hour and a half.
MAX_ATTEMPTS = 10
LONGEST_DELAY = 10 * 365 * DAY


@dataclass(frozen=True, slots=True)
class Kind:
    """What runs under a name, and how.

    The time-out in seconds is WORKER_JOB_TIMEOUT unless it is given here.
    """

    function: Callable[..., Awaitable[object]]
    timeout: float | None
    max_attempts: int


KINDS: dict[str, Kind] = {}


def job(
    name: str, *, timeout: float | None = None, max_attempts: int = MAX_ATTEMPTS
) -> Callable[[Function], Function]:
    """Declare what runs under a name, like "accounts.send_confirmation".

    It gets the arguments of `enqueue`.

    It may run more than once: after an exception, after `timeout` seconds, or when its worker dies.
    Its module has to be imported in `app/jobs/known.py`.
    """

    def declare(function: Function) -> Function:
        if name in KINDS and KINDS[name].function.__qualname__ != function.__qualname__:
            raise ValueError(f"Two jobs are named {name!r}.")
        KINDS[name] = Kind(function, timeout, max_attempts)
        return function

    return declare


async def enqueue(
    session: AsyncSession, name: str, /, *, delay: float = 0, unique: str | None = None, **args: Any
) -> UUID | None:
    """Have a job done after this transaction commits, `delay` seconds later.

    If it rolls back, never.

    `args` are small JSON: ids, never secrets, since they are shown to administrators. With `unique`
    nothing is added, and `None` returned, while a job of the same key still waits to start.
    """
    if len(json.dumps(args, allow_nan=False)) > LARGEST_ARGUMENTS:
        raise ValueError(
            f"The arguments of {name} are too large: pass ids, and keep the rest in a table."
        )
    if not 0 <= delay <= LONGEST_DELAY or len(name) > 100 or len(unique or "") > 200:
        raise ValueError(
            f"{name} takes a delay of 0 to {LONGEST_DELAY} seconds, 100 characters of name, 200 "
            "of key."
        )
    identifier = uuid4()
    values = {
        "id": identifier,
        "name": name,
        "args": args,
        "due_at": db_now(delay),
        "created_at": db_now(),
        "unique_key": unique,
    }
    # The update changes nothing but locks the job that waits already: it must not start before this
    # transaction ends, or it would not see what that has written.
    statement = insert_into(session, Job).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=["name", "unique_key"],
        index_where=Job.unique_key.is_not(None),
        set_={"unique_key": unique},
    )
    if (await session.execute(statement.returning(Job.id))).scalar_one() != identifier:
        return None
    if not delay:
        after_commit(session, wake)
    return identifier


def wake() -> None:
    """Have the workers look at the queue now rather than at their next sweep."""
    bell: WorkerNotifier = current_app.extensions["jobs"]
    bell.ring()


class WorkerNotifier:
    """Wakes the workers through Redis, in the background.

    A server that is away delays no request, and loses no job.

    One message is on its way at a time, however many are wanted meanwhile.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._wanted = self._away = False
        self._sending: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Send a message, soon."""
        self._wanted = True
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Wait for the message that is on its way; that takes no longer than Redis may."""
        if self._sending is not None:
            await self._sending

    async def _send(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self._redis.publish(CHANNEL, b"")
                self._away = False
            except (RedisError, OSError) as error:
                if not self._away:
                    logger.warning(
                        "Workers cannot be woken, they will look by themselves: %s", error
                    )
                self._away = True


def init_app(app: Quart) -> None:
    """Give the application what wakes its workers."""
    app.extensions["jobs"] = bell = WorkerNotifier(app.extensions["redis"])
    app.after_serving(bell.close)
