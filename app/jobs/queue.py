"""Declaring jobs, and enqueueing them in the transaction that needs them."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from quart import Quart, current_app
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import Table, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import DAY
from app.database import after_commit, insert_into
from app.jobs.models import Job, State, db_now

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Awaitable[object]])

CHANNEL = "jobs:wake"
# Bytes of a job's arguments as JSON: they are ids. Data belongs in a table of its own.
LARGEST_ARGUMENTS = 8 * 1024
# With the default back-off they are spread over about an hour and a half.
MAX_ATTEMPTS = 10
LONGEST_KEY = 99  # characters; with a name of 100 it fits its column
LONGEST_DELAY = 10 * 365 * DAY


@dataclass(frozen=True, slots=True)
class Kind:
    """The function that runs under a name, and how often and how long it may run."""

    function: Callable[..., Awaitable[object]]
    timeout: float | None  # seconds; None: WORKER_JOB_TIMEOUT
    max_attempts: int


KINDS: dict[str, Kind] = {}


def job(
    name: str, *, timeout: float | None = None, max_attempts: int = MAX_ATTEMPTS
) -> Callable[[Function], Function]:
    """Declare the function that runs under a name, like "accounts.send_confirmation".

    It is called with the arguments given to `enqueue`, and may run more than once: after an
    exception, after `timeout` seconds (WORKER_JOB_TIMEOUT if None), or when its worker dies. After
    `max_attempts` it is dead. The `feature.py` of its feature has to import its module. Raises
    `ValueError` if the name is taken.
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
    """Add a job to this transaction; it runs `delay` seconds after the commit at the earliest.

    If the transaction rolls back, there is no job. `args` are small JSON: ids, never secrets, since
    administrators see them. With `unique` nothing is added, and `None` returned, while a job of the
    same name and key waits to start. Raises `ValueError` or `TypeError` for arguments that are too
    large or no JSON, and for a delay or key out of range.
    """
    _require_valid(name, args, delay, unique)
    # A key belongs to a job's name: two kinds of jobs may use the same.
    unique_key = None if unique is None else f"{name}:{unique}"
    identifier = uuid4()
    values = {
        "id": identifier,
        "name": name,
        "args": args,
        "due_at": db_now(delay),
        "created_at": db_now(),
        "unique_key": unique_key,
    }
    # The update changes nothing but locks the job that waits: it must not start before this
    # transaction ends, or it would not see what this transaction has written.
    statement = insert_into(session, Job).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=["unique_key"], set_={"unique_key": unique_key}
    )
    if (await session.execute(statement.returning(Job.id))).scalar_one() != identifier:
        return None
    if not delay:
        after_commit(session, wake)
    return identifier


async def enqueue_many(
    session: AsyncSession, name: str, many: Iterable[dict[str, Any]], /, *, delay: float = 0
) -> list[UUID]:
    """Add jobs of one name to this transaction, one for each of these arguments, in one statement.

    Returns their ids in order. Otherwise as `enqueue`.
    """
    ids, rows = [], []
    for args in many:
        _require_valid(name, args, delay)
        ids.append(uuid4())
        rows.append({"id": ids[-1], "name": name, "args": args})
    if not rows:
        return []
    # Without the ORM, which would make an object of each row; and the times by the database, once.
    table = cast(Table, Job.__table__)
    statement = insert(table).values(
        state=State.WAITING, lease=0, attempt=0, due_at=db_now(delay), created_at=db_now()
    )
    await (await session.connection()).execute(statement, rows)
    if not delay:
        after_commit(session, wake)
    return ids


def _require_valid(
    name: str, args: dict[str, Any], delay: float, unique: str | None = None
) -> None:
    if len(json.dumps(args, allow_nan=False)) > LARGEST_ARGUMENTS:
        raise ValueError(
            f"The arguments of {name} are too large: pass ids, and keep the rest in a table."
        )
    if not 0 <= delay <= LONGEST_DELAY or len(name) > 100 or len(unique or "") > LONGEST_KEY:
        raise ValueError(
            f"{name} takes a delay of 0 to {LONGEST_DELAY} seconds, a name of 100 characters and a "
            f"key of {LONGEST_KEY}."
        )


def wake() -> None:
    """Wake the workers now, so that they need not wait for their next sweep."""
    notifier: WorkerNotifier = current_app.extensions["jobs"]
    notifier.notify()


class WorkerNotifier:
    """Wakes the workers through Redis, in the background.

    While Redis is away no request is delayed and no job lost: workers poll anyway. One message is
    sent at a time; all that are asked for while it is on its way become the next one.
    """

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._wanted = self._away = False
        self._sending: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Publish a message soon; returns at once."""
        self._wanted = True
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Wait for the message that is on its way, at most as long as REDIS_TIMEOUT allows."""
        if self._sending is not None:
            await self._sending

    async def _send(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self._redis.publish(self._channel, b"")
                self._away = False
            except (RedisError, OSError) as error:
                if not self._away:
                    logger.warning(
                        "Workers cannot be woken; they find jobs at their next sweep: %s", error
                    )
                self._away = True


def init_app(app: Quart) -> None:
    """Register the notifier of workers."""
    channel = app.extensions["settings"].redis_key(CHANNEL)
    app.extensions["jobs"] = notifier = WorkerNotifier(app.extensions["redis"], channel)
    app.after_serving(notifier.close)
