"""The statements of the engine: which worker leases which job, until when, and with what outcome.

A job belongs to the worker that leased it last, until the lease ends. Every statement names the
lease by its number, so that a worker that has lost a job can no longer change it.

No statement about several jobs waits for a row that another transaction has locked: it leaves that
row out, and says so. So one row holds up no other job, and two workers cannot deadlock.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Select,
    Update,
    bindparam,
    case,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.config import settings
from app.errors import DomainError, NotFound
from app.jobs.context import Key, Leased
from app.jobs.models import LEASE_OVER, Priority, State, db_now, jobs
from app.jobs.queue import KINDS, OF_NEXT_RELEASE

Executes = AsyncSession | AsyncConnection
Names = tuple[str, ...]  # of kinds of jobs

# Literals rather than parameters, so that PostgreSQL sees that the partial index fits.
IS_WAITING = jobs.c.state == literal_column("'waiting'")
IS_RUNNING = jobs.c.state == literal_column("'running'")
IS_OPEN = IS_WAITING | IS_RUNNING

LONGEST_ERROR = 2000


class JobIsRunning(DomainError):
    """A worker runs it now."""

    code = "job-is-running"


class IsDone(DomainError):
    """It has been done, and nobody has said that it should run again."""

    code = "job-is-done"


class UnknownJob(DomainError):
    """No job of this name is declared in this release."""

    code = "unknown-job"


class Changed(NamedTuple):
    """What became of jobs that were to be changed. Of those in neither set the lease was lost."""

    done: set[Key]
    locked: set[Key]  # by another transaction: they have to be tried again


class Change(NamedTuple):
    """An update of jobs whose lease is still this one: of a single job, and of several.

    A list of ids is written into the statement anew each time, which for one id takes longer than
    the rest.
    """

    one: Update
    many: Update
    # Those of them that could be changed. What an update has left out is locked if it is here.
    own: Select[UUID]


def _own(condition: ColumnElement[bool], **values: Any) -> Change:
    ids = jobs.c.id.in_(bindparam("ids", expanding=True, type_=jobs.c.id.type))
    own = select(jobs.c.id).where(jobs.c.lease == bindparam("of_lease"), condition)

    def change(which: ColumnElement[bool]) -> Update:
        free = own.where(which).order_by(jobs.c.id).with_for_update(skip_locked=True).cte("free")
        changed = update(jobs).where(jobs.c.id.in_(select(free.c.id)))
        return changed.values(values).returning(jobs.c.id)

    one = change(jobs.c.id == bindparam("of_id", type_=jobs.c.id.type))
    return Change(one, change(ids), own.where(ids))


# Built once: that costs more than running them.
IN_SECONDS = db_now(bindparam("seconds", type_=Double()))
# The first due jobs of one priority.
DUE = (
    select(jobs.c.id, jobs.c.due_at, jobs.c.unique_key)
    .where(
        IS_WAITING,
        jobs.c.priority == bindparam("of_priority"),
        jobs.c.due_at <= db_now(),
        LEASE_OVER,
        jobs.c.name.in_(bindparam("names", expanding=True)),
    )
    .order_by(jobs.c.due_at, jobs.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
FREE = DUE.with_only_columns(jobs.c.id).with_for_update(skip_locked=True).cte("due")
LEASED = {"lease": jobs.c.lease + 1, "worker": bindparam("taker"), "leased_until": IN_SECONDS}
TAKEN = (jobs.c.id, jobs.c.name, jobs.c.args, jobs.c.lease, jobs.c.attempt, jobs.c.due_at)
TAKE = update(jobs).where(jobs.c.id.in_(select(FREE.c.id))).values(LEASED).returning(*TAKEN)
CLAIM = _own(
    IS_OPEN,
    state=State.RUNNING,
    attempt=jobs.c.attempt + case((IS_WAITING, 1), else_=0),
    started_at=db_now(),
    due_at=None,
    leased_until=IN_SECONDS,
    unique_key=None,
    progress=null(),
)
RENEW = _own(IS_OPEN, leased_until=IN_SECONDS)
DONE = {"state": State.DONE, "finished_at": db_now(), "leased_until": None, "error": None}
FINISH = _own(IS_RUNNING, **DONE)
COMPLETE = (
    update(jobs)
    .where(jobs.c.id == bindparam("of_id"), jobs.c.lease == bindparam("of_lease"), IS_RUNNING)
    .values(DONE)
    .returning(jobs.c.id)
)


async def take(
    session: Executes, worker: str, limit: int, held: Mapping[str, int] | None = None
) -> list[Leased]:
    """Lease up to `limit` due jobs, in the order in which they are to begin.

    Those of higher priority come first, and of equal ones those that have been due longer. Kinds
    with `at_once` get no more than that, together with the jobs of each name that are `held`
    already. Jobs of kinds that this release does not declare wait for a worker that does.
    """
    held = held or {}
    few = {name: kind.at_once for name, kind in KINDS.items() if kind.at_once}
    others = tuple(name for name in KINDS if name not in few)
    room: dict[Names, int] = {(name,): most - held.get(name, 0) for name, most in few.items()}
    values = {"taker": worker, "seconds": settings.WORKER_LEASE}
    asked = time.monotonic()
    taken: list[Leased] = []
    for priority in Priority:
        found: list[Any] = []
        for names, share in await _shares(session, priority, room, others, limit - len(taken)):
            most = min(share, room.get(names, limit), limit - len(taken) - len(found))
            if most > 0:
                which = {"of_priority": priority, "names": list(names), "limit": most}
                rows = (await session.execute(TAKE, which | values)).all()
                if names in room:
                    room[names] -= len(rows)
                found += rows
        found.sort(key=lambda row: (row.due_at, row.id))
        taken += [leased(row, asked) for row in found]
    return taken


async def _shares(
    session: Executes, priority: Priority, room: Mapping[Names, int], others: Names, limit: int
) -> list[tuple[Names, int]]:
    """Return how many jobs of each kind with `at_once` to take, and how many of the others.

    Of these kinds there are no more than those among the next `limit` jobs of all kinds.
    """
    due: list[tuple[datetime, UUID, Names]] = []
    for names, most in room.items():
        due += await _due(session, priority, names, min(most, limit))
    if not due:
        return [(others, limit)]
    few = {names for _, _, names in due}
    due += await _due(session, priority, others, limit)
    shares = Counter(names for _, _, names in sorted(due)[:limit])
    # Then whatever there is: some of those may be locked, or another worker may have been faster.
    return [*shares.items(), (others, limit), *((names, limit) for names in few)]


async def _due(
    session: Executes, priority: Priority, names: Names, limit: int
) -> list[tuple[datetime, UUID, Names]]:
    if limit < 1:
        return []
    which = {"of_priority": priority, "names": list(names), "limit": limit}
    return [(row.due_at, row.id, names) for row in await session.execute(DUE, which)]


def leased(row: Any, asked: float) -> Leased:
    """Return what `take` knows of a job from its row, and from when it asked for it."""
    return Leased(row.id, row.name, row.args, row.lease, row.attempt, complete, asked)


async def release_unknown(session: Executes, worker: str, known: Iterable[Key]) -> None:
    """Release jobs leased by a `take` of this worker whose commit was never acknowledged.

    `known` are those that it knows of.
    """
    mine = select(jobs.c.id, jobs.c.lease).where(
        IS_OPEN, jobs.c.worker == worker, jobs.c.leased_until.is_not(None)
    )
    found = {(row.id, row.lease) for row in await session.execute(mine)}
    await release(session, found - set(known))


async def claim(session: Executes, keys: Iterable[Key]) -> Changed:
    """Mark jobs as running, which is what uses up an attempt.

    Idempotent, since the answer to an earlier call may have been lost.
    """
    return await _change(session, keys, CLAIM, seconds=settings.WORKER_LEASE)


async def renew(session: Executes, keys: Iterable[Key]) -> Changed:
    """Extend leases to WORKER_LEASE seconds from now."""
    return await _change(session, keys, RENEW, seconds=settings.WORKER_LEASE)


async def finish(session: Executes, keys: Iterable[Key]) -> Changed:
    """Record jobs as done."""
    return await _change(session, keys, FINISH)


async def complete(session: Executes, key: Key) -> bool:
    """Record one job as done, waiting for its row; false if its lease was lost."""
    return bool((await session.execute(COMPLETE, {"of_id": key[0], "of_lease": key[1]})).first())


def is_last(job: Leased, final: bool) -> bool:
    """Tell whether a job is dead after a failure: if that is `final`, or no attempt is left."""
    return final or job.attempt >= _max_attempts(job.name)


def _max_attempts(name: str) -> int:
    return KINDS.get(name, OF_NEXT_RELEASE).max_attempts


async def fail(session: Executes, job: Leased, error: str, final: bool) -> Changed:
    """Schedule the next attempt at a job, or declare it dead after the last."""
    outcome = _dead() if is_last(job, final) else _again(backoff(job.attempt))
    change = _own(IS_RUNNING, **outcome, error=storable(error))
    return await _change(session, [job.key], change)


async def release(session: Executes, keys: Iterable[Key]) -> Changed:
    """Return jobs to the queue at once, with the attempt that they may have started.

    A worker that stops in the middle of a job must not use up the job's attempts.
    """
    as_before = {
        "due_at": func.coalesce(jobs.c.due_at, db_now()),
        "attempt": jobs.c.attempt - case((IS_RUNNING, 1), else_=0),
    }
    return await _change(session, keys, _own(IS_OPEN, **(_again(0) | as_before)))


async def recover(session: Executes, known: Iterable[Key] = ()) -> None:
    """Requeue jobs whose worker died while it ran them, or declare them dead after max_attempts.

    Whatever their names: this release may have renamed what the last one ran. The delay is random:
    one of the jobs may be what kills workers, and the others should not start beside it again.
    `known` are those that this worker runs: after it was suspended it may renew their leases, if no
    other worker was faster.
    """
    # Workers of the release before `leased_until` keep the end of a lease in `due_at`.
    not_extended = jobs.c.due_at.is_(None) | (jobs.c.due_at <= db_now())
    # A worker of the release that declares a job knows how many attempts it has: let it be faster.
    is_known = jobs.c.name.in_(list(KINDS)) | jobs.c.leased_until.is_(None)
    mine = is_known | (jobs.c.leased_until <= db_now(-2 * settings.WORKER_LEASE))
    lost = (
        select(jobs.c.id, jobs.c.lease, jobs.c.name, jobs.c.attempt, jobs.c.worker)
        .where(IS_RUNNING, LEASE_OVER, not_extended, mine)
        .limit(100)
        .with_for_update(skip_locked=True)
    )
    known = set(known)
    for row in (await session.execute(lost)).all():
        if (row.id, row.lease) in known:
            continue
        error = (
            f"Its worker ({row.worker}) died in it, was suspended, or lost the database for too "
            "long."
        )
        wait = random.uniform(0, min(2**row.attempt, 60))  # noqa: S311  (no secret)
        outcome = _dead() if row.attempt >= _max_attempts(row.name) else _again(wait)
        await _change(session, [(row.id, row.lease)], _own(IS_RUNNING, **outcome, error=error))


async def start(session: Executes, job_id: UUID, *, again: bool = False) -> Leased:
    """Claim one job by hand, even if a worker has leased it but not started it.

    Raises `NotFound`, `JobIsRunning` or `UnknownJob`; `IsDone` unless it may run `again`.
    """
    found = select(jobs.c.name, jobs.c.state, LEASE_OVER.label("free")).where(jobs.c.id == job_id)
    row = (await session.execute(found.with_for_update())).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    if row.name not in KINDS:
        raise UnknownJob(f"This release knows no job named {row.name}.")
    if row.state == State.DONE and not again:
        raise IsDone(f"{row.name} is done. To run it once more, add: --again")
    if row.state == State.RUNNING and not row.free:
        raise JobIsRunning(f"{row.name} runs at this moment.")
    seconds = (KINDS[row.name].timeout or settings.WORKER_JOB_TIMEOUT) + settings.WORKER_LEASE
    values = {
        "state": State.RUNNING,
        "attempt": jobs.c.attempt + 1,
        "lease": jobs.c.lease + 1,
        "started_at": db_now(),
        "finished_at": None,
        "due_at": None,
        "leased_until": db_now(seconds),
        "unique_key": None,
        "worker": "by hand",
    }
    statement = update(jobs).where(jobs.c.id == job_id).values(values)
    started = await session.execute(statement.returning(jobs.c.args, jobs.c.lease, jobs.c.attempt))
    new = started.one()
    return Leased(job_id, row.name, new.args, new.lease, new.attempt, complete)


def backoff(attempt: int) -> float:
    """Return the seconds until the next attempt.

    They double with each attempt. Jitter keeps jobs that failed together from returning together.
    """
    seconds = min(settings.JOB_BACKOFF * 2.0 ** min(attempt - 1, 60), settings.JOB_BACKOFF_MAX)
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311  (no secret)


def _again(seconds: float) -> dict[str, Any]:
    return {
        "state": State.WAITING,
        "due_at": db_now(seconds),
        "leased_until": None,
        "lease": jobs.c.lease + 1,  # so that the worker that had it can no longer change it
    }


def _dead() -> dict[str, Any]:
    return {"state": State.DEAD, "finished_at": db_now(), "leased_until": None}


async def _change(session: Executes, keys: Iterable[Key], change: Change, **values: Any) -> Changed:
    by_lease: dict[int, list[UUID]] = defaultdict(list)
    for identifier, lease in keys:
        by_lease[lease].append(identifier)
    outcome = Changed(set(), set())
    for lease, ids in by_lease.items():
        if len(ids) == 1:
            which = {"of_id": ids[0], "of_lease": lease}
            rows = await session.execute(change.one, which | values)
        else:
            rows = await session.execute(change.many, _several(ids, lease) | values)
        done = set(rows.scalars())
        outcome.done.update((identifier, lease) for identifier in done)
        if left := [identifier for identifier in ids if identifier not in done]:
            locked = await session.execute(change.own, _several(left, lease))
            outcome.locked.update((identifier, lease) for identifier in locked.scalars())
    return outcome


def _several(ids: list[UUID], lease: int) -> dict[str, Any]:
    # Padded to a power of two: each number of ids is another statement to prepare.
    padding = ids[-1:] * ((1 << (len(ids) - 1).bit_length()) - len(ids))
    return {"ids": ids + padding, "of_lease": lease}


def storable(error: str) -> str:
    """Return a text that every database stores: valid UTF-8, no NUL, not too long."""
    return error.encode("utf-8", "replace").decode().replace("\x00", "")[:LONGEST_ERROR]
