"""The statements of the engine: which worker leases which job, until when, and with what outcome.

A job belongs to the worker that leased it last, until the lease ends. Every statement names the
lease by its number, so that a worker that has lost a job can no longer change it.
"""

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Table,
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
from app.jobs.models import Job, State, db_now
from app.jobs.queue import KINDS

Executes = AsyncSession | AsyncConnection

# Without the ORM, which would cost more than the statements themselves.
jobs = cast(Table, Job.__table__)

# Literals rather than parameters, so that PostgreSQL sees that the partial index fits.
IS_WAITING = jobs.c.state == literal_column("'waiting'")
IS_RUNNING = jobs.c.state == literal_column("'running'")
IS_OPEN = IS_WAITING | IS_RUNNING
LEASE_OVER = jobs.c.leased_until.is_(None) | (jobs.c.leased_until <= db_now())

LONGEST_ERROR = 2000


class JobIsRunning(DomainError):
    """A worker runs it now."""

    code = "job-is-running"


class UnknownJob(DomainError):
    """No job of this name is declared in this release."""

    code = "unknown-job"


class Change(NamedTuple):
    """An update of jobs whose lease is still this one: of a single job, and of several.

    A list of ids is written into the statement anew each time, which for one id takes longer than
    the rest.
    """

    one: Update
    many: Update


def _own(condition: ColumnElement[bool], **values: Any) -> Change:
    ids = bindparam("ids", expanding=True, type_=jobs.c.id.type)
    change = (
        update(jobs)
        .where(jobs.c.lease == bindparam("of_lease"), condition)
        .values(values)
        .returning(jobs.c.id)
    )
    one = change.where(jobs.c.id == bindparam("of_id", type_=jobs.c.id.type))
    return Change(one, change.where(jobs.c.id.in_(ids)))


# Built once: that costs more than running them.
IN_SECONDS = db_now(bindparam("seconds", type_=Double()))
DUE = (
    select(jobs.c.id)
    .where(
        IS_WAITING,
        jobs.c.due_at <= db_now(),
        LEASE_OVER,
        jobs.c.name.in_(bindparam("names", expanding=True)),
    )
    .order_by(jobs.c.due_at)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
    .cte("due")
)
TAKE = (
    update(jobs)
    .where(jobs.c.id.in_(select(DUE.c.id)))
    .values(lease=jobs.c.lease + 1, worker=bindparam("taker"), leased_until=IN_SECONDS)
    .returning(jobs.c.id, jobs.c.name, jobs.c.args, jobs.c.lease, jobs.c.attempt)
)
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
FINISH = _own(IS_RUNNING, state=State.DONE, finished_at=db_now(), leased_until=None, error=None)


async def take(session: Executes, worker: str, limit: int) -> list[Leased]:
    """Lease up to `limit` due jobs of the kinds that this release declares, the longest due first.

    Jobs of other kinds wait for a worker whose release declares them.
    """
    values = {
        "names": list(KINDS),
        "limit": limit,
        "taker": worker,
        "seconds": settings.WORKER_LEASE,
    }
    return [
        Leased(row.id, row.name, row.args, row.lease, row.attempt, finish)
        for row in await session.execute(TAKE, values)
    ]


async def release_unknown(session: Executes, worker: str, known: Iterable[Key]) -> None:
    """Release jobs leased by a `take` of this worker whose commit was never acknowledged.

    `known` are those that it knows of.
    """
    mine = select(jobs.c.id, jobs.c.lease).where(
        IS_OPEN, jobs.c.worker == worker, jobs.c.leased_until.is_not(None)
    )
    found = {(row.id, row.lease) for row in await session.execute(mine)}
    await release(session, found - set(known))


async def claim(session: Executes, keys: Iterable[Key]) -> set[Key]:
    """Mark jobs as running, which is what uses up an attempt; returns those still leased.

    Idempotent, since the answer to an earlier call may have been lost.
    """
    return await _change(session, keys, CLAIM, seconds=settings.WORKER_LEASE)


async def renew(session: Executes, keys: Iterable[Key]) -> set[Key]:
    """Extend leases to WORKER_LEASE seconds from now; returns those that were not lost."""
    return await _change(session, keys, RENEW, seconds=settings.WORKER_LEASE)


async def finish(session: Executes, keys: Iterable[Key]) -> set[Key]:
    """Record jobs as done; returns those whose lease was not lost."""
    return await _change(session, keys, FINISH)


def is_last(job: Leased, final: bool) -> bool:
    """Tell whether a job is dead after a failure: if that is `final`, or no attempt is left."""
    return final or job.attempt >= KINDS[job.name].max_attempts


async def fail(session: Executes, job: Leased, error: str, final: bool) -> bool:
    """Schedule the next attempt at a job, or declare it dead after the last; false if its lease was
    lost.
    """
    outcome = _dead() if is_last(job, final) else _again(backoff(job.attempt))
    change = _own(IS_RUNNING, **outcome, error=storable(error))
    return bool(await _change(session, [job.key], change))


async def release(session: Executes, keys: Iterable[Key]) -> set[Key]:
    """Return jobs to the queue at once, with the attempt that they may have started; returns those
    whose lease was not lost.

    A worker that stops in the middle of a job must not use up the job's attempts.
    """
    as_before = {
        "due_at": func.coalesce(jobs.c.due_at, db_now()),
        "attempt": jobs.c.attempt - case((IS_RUNNING, 1), else_=0),
    }
    return await _change(session, keys, _own(IS_OPEN, **(_again(0) | as_before)))


async def recover(session: Executes, known: Iterable[Key] = ()) -> None:
    """Requeue jobs whose worker died while it ran them, or declare them dead after max_attempts.

    The delay is random: one of the jobs may be what kills workers, and the others should not start
    beside it again. `known` are those that this worker runs: after it was suspended it may renew
    their leases, if no other worker was faster.
    """
    # Workers of the release before `leased_until` keep the end of a lease in `due_at`.
    not_extended = jobs.c.due_at.is_(None) | (jobs.c.due_at <= db_now())
    lost = (
        select(jobs.c.id, jobs.c.lease, jobs.c.name, jobs.c.attempt, jobs.c.worker)
        .where(IS_RUNNING, LEASE_OVER, not_extended, jobs.c.name.in_(KINDS))
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
        outcome = _dead() if row.attempt >= KINDS[row.name].max_attempts else _again(wait)
        await _change(session, [(row.id, row.lease)], _own(IS_RUNNING, **outcome, error=error))


async def start(session: Executes, job_id: UUID) -> Leased:
    """Claim one job by hand, even if a worker has leased it or it is done.

    Raises `NotFound`, `JobIsRunning` or `UnknownJob`.
    """
    row = (await session.execute(select(jobs.c.name).where(jobs.c.id == job_id))).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    if row.name not in KINDS:
        raise UnknownJob(f"This release knows no job named {row.name}.")
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
    statement = update(jobs).where(jobs.c.id == job_id, ~IS_RUNNING).values(values)
    started = await session.execute(statement.returning(jobs.c.args, jobs.c.lease, jobs.c.attempt))
    if (found := started.one_or_none()) is None:
        raise JobIsRunning(f"{row.name} runs at this moment.")
    return Leased(job_id, row.name, found.args, found.lease, found.attempt, finish)


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


async def _change(
    session: Executes, keys: Iterable[Key], change: Change, **values: Any
) -> set[Key]:
    by_lease: dict[int, list[UUID]] = defaultdict(list)
    for identifier, lease in keys:
        by_lease[lease].append(identifier)
    changed: set[Key] = set()
    for lease, ids in by_lease.items():
        if len(ids) == 1:
            which = {"of_id": ids[0], "of_lease": lease}
            rows = await session.execute(change.one, which | values)
        else:
            # Padded to a power of two: each number of ids is another statement to prepare.
            ids += ids[-1:] * ((1 << (len(ids) - 1).bit_length()) - len(ids))
            which_ones = {"ids": ids, "of_lease": lease}
            rows = await session.execute(change.many, which_ones | values)
        changed |= {(row[0], lease) for row in rows}
    return changed


def storable(error: str) -> str:
    """Return a text that every database stores: valid UTF-8, no NUL, not too long."""
    return error.encode("utf-8", "replace").decode().replace("\x00", "")[:LONGEST_ERROR]
