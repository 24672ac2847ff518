"""Declaring jobs, and enqueueing them in the transaction that needs them."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.away import is_lock_timeout
from app.config import settings
from app.database import after_commit, insert_into, is_committed
from app.errors import Busy
from app.jobs import arguments
from app.jobs.models import Job, Priority, State, db_now, jobs
from app.jobs.notifier import wake

Function = TypeVar("Function", bound=Callable[..., Awaitable[object]])

# With the default back-off they are spread over about an hour and a half.
MAX_ATTEMPTS = 10


@dataclass(frozen=True)
class Kind:
    """The function that runs under a name, and when, how often and how long it may run."""

    function: Callable[..., Awaitable[object]]
    timeout: float | None  # seconds; None: WORKER_JOB_TIMEOUT
    max_attempts: int
    priority: Priority
    at_once: int | None  # in one worker; None: as many as there is room for

    @cached_property
    def signature(self) -> inspect.Signature:
        """The parameters of the function."""
        return inspect.signature(self.function)

    @property
    def place(self) -> tuple[str, str]:
        """Where the function is declared."""
        return self.function.__module__, self.function.__qualname__


KINDS: dict[str, Kind] = {}


class KeyIsLocked(Busy):
    """Another transaction, which has not ended, has just enqueued a job of this name and key.

    Raised after DATABASE_LOCK_TIMEOUT, on PostgreSQL. The transaction cannot go on: the request is
    answered with 503 and may be sent again.
    """

    message = "The same is being asked for at this moment: try again in a few seconds."


def job(
    name: str,
    *,
    timeout: float | None = None,
    max_attempts: int = MAX_ATTEMPTS,
    priority: Priority = Priority.NORMAL,
    at_once: int | None = None,
) -> Callable[[Function], Function]:
    """Declare the function that runs under a name, like "accounts.send_confirmation".

    It is called with the arguments given to `enqueue`, and may run more than once: after an
    exception, after `timeout` seconds (WORKER_JOB_TIMEOUT if None), or when its worker dies. After
    `max_attempts` it is dead. The `feature.py` of its feature has to import its module.

    Due jobs of higher priority begin first. `at_once` is how many of this kind a worker runs at the
    same time: fewer than WORKER_MAX_JOBS leave room for other kinds. Raises `ValueError` if the
    name is taken or is not of letters, digits, `.`, `_` and `-`, and for other values that cannot
    be used.
    """
    arguments.require_name(name)
    arguments.require_options(name, timeout, max_attempts, priority, at_once)

    def declare(function: Function) -> Function:
        arguments.require_function(name, function)
        kind = Kind(function, timeout, max_attempts, priority, at_once)
        if KINDS.setdefault(name, kind).place != kind.place:
            raise ValueError(f"Two jobs are named {name!r}.")
        KINDS[name] = kind
        return function

    return declare


async def enqueue(
    session: AsyncSession, name: str, /, *, delay: float = 0, unique: str | None = None, **args: Any
) -> UUID | None:
    """Add a job to this transaction; it runs `delay` seconds after the commit at the earliest.

    If the transaction rolls back, there is no job. `args` are small JSON: ids, never secrets, since
    administrators see them. With `unique` nothing is added, and `None` returned, while a job of the
    same name and key waits to start; while another transaction that adds one has not ended, this
    waits for it, and raises `KeyIsLocked` after a few seconds.

    Raises `ValueError` or `TypeError` for a name that is not declared, for arguments that its
    function does not take, that are too large or that cannot be stored as JSON, and for a delay or
    key out of range. Raises `RuntimeError` for a session that does not commit.
    """
    kind = _kind(session, name)
    arguments.require_valid_key(name, delay, unique)
    arguments.require_valid(name, args, kind.signature)
    # A key belongs to a job's name: two kinds of jobs may use the same.
    unique_key = None if unique is None else f"{name}:{unique}"
    identifier = uuid7()
    values = {
        "id": identifier,
        "name": name,
        "args": args,
        "priority": kind.priority,
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
    try:
        added = (await session.execute(statement.returning(Job.id))).scalar_one()
    except DBAPIError as error:
        if unique_key and is_lock_timeout(error):
            raise KeyIsLocked from error
        raise
    if added != identifier:
        return None
    if not delay:
        after_commit(session, wake)
    return identifier


async def enqueue_many(
    session: AsyncSession, name: str, many: Iterable[dict[str, Any]], /, *, delay: float = 0
) -> list[UUID]:
    """Add jobs of one name to this transaction, one for each of these arguments, in one statement.

    Returns their ids in order, in which they also begin. Otherwise as `enqueue`.
    """
    kind = _kind(session, name)
    arguments.require_valid_key(name, delay)
    rows: list[dict[str, Any]] = [{"id": uuid7(), "name": name, "args": args} for args in many]
    for row in rows:
        arguments.require_valid(name, row["args"], kind.signature)
    if not rows:
        return []
    # Without the ORM, which would make an object of each row; and the times by the database, once.
    same = {"state": State.WAITING, "priority": kind.priority, "lease": 0, "attempt": 0}
    statement = insert(jobs).values(due_at=db_now(delay), created_at=db_now(), **same)
    await (await session.connection()).execute(statement, rows)
    if not delay:
        after_commit(session, wake)
    return [row["id"] for row in rows]


def _kind(session: AsyncSession, name: str) -> Kind:
    if not is_committed(session):
        raise RuntimeError(
            f"{name} is enqueued in a session that does not commit: open it by db.transaction()."
        )
    if name not in KINDS and not (settings.JOBS_OF_NEXT_RELEASE and arguments.NAME.fullmatch(name)):
        raise ValueError(
            f"No job is named {name!r}. Is its module imported in the feature.py of its feature?"
        )
    return KINDS.get(name, OF_NEXT_RELEASE)


async def _of_next_release(**args: Any) -> None:
    """Stand in for a function that this release does not have: it takes any arguments."""


OF_NEXT_RELEASE = Kind(_of_next_release, None, MAX_ATTEMPTS, Priority.NORMAL, None)
