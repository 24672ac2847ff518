"""Operating the queue: list, count, retry, discard and delete jobs."""

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import DAY
from app.database import after_commit, utcnow
from app.errors import DomainError, NotFound
from app.jobs import acts
from app.jobs.models import LEASE_OVER, Job, State, db_now
from app.jobs.notifier import wake
from app.jobs.schemas import JobsQuery
from app.keyset import Order, Page, Stage, load
from app.trail import Act, Subject, record

BATCH = 1000

# A job whose worker has died, but which no other has recovered yet, can be changed too.
UNFINISHED = or_(
    Job.state.in_([State.WAITING, State.DEAD]), and_(Job.state == State.RUNNING, LEASE_OVER)
)
RETRIABLE = or_(UNFINISHED, Job.state == State.DISCARDED)


def is_unfinished(job: Job) -> bool:
    """Tell whether a job can be discarded: the condition above, of a row that is loaded."""
    is_over = job.leased_until is None or job.leased_until <= utcnow()
    return job.state in (State.WAITING, State.DEAD) or (job.state == State.RUNNING and is_over)


ENDED = Order((Job.finished_at, Job.id), descending=True)
# Each by an index of its own, but for those that run: they are few.
ORDERS = {
    State.WAITING: Order((Job.due_at, Job.id)),
    State.RUNNING: Order((Job.created_at, Job.id)),
}


class WrongState(DomainError):
    """The job runs now, or it has finished."""

    code = "wrong-state"
    message = "The job runs now, or it has finished: nothing was done."


async def page_of_jobs(session: AsyncSession, wanted: JobsQuery) -> Page[Job]:
    """Return a page of the jobs in one state.

    Those that wait come in the order in which they are due, those that have ended newest first.
    Raises `BadCursor`.
    """
    order = ORDERS.get(wanted.state, ENDED)
    return await load(session, select(Job), [Stage(order, [(Job.state == wanted.state,)])], wanted)


async def count_jobs(session: AsyncSession) -> dict[tuple[str, str], int]:
    """Count waiting, running and dead jobs by name and state."""
    counted = select(Job.name, Job.state, func.count()).where(
        Job.state.in_([State.WAITING, State.RUNNING, State.DEAD])
    )
    return {
        (name, state): count
        for name, state, count in await session.execute(counted.group_by(Job.name, Job.state))
    }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are meant; what is None does not matter."""

    state: State | None = None
    name: str | None = None
    # A part of its text, in capitals or small letters; SQLite knows those of ASCII alone.
    error: str | None = None
    before: datetime | None = None  # created before this

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """Return them as SQL."""
        found = []
        if self.state is not None:
            found.append(Job.state == self.state)
        if self.name is not None:
            found.append(Job.name == self.name)
        if self.error is not None:
            found.append(Job.error.icontains(self.error, autoescape=True))
        if self.before is not None:
            found.append(Job.created_at < self.before)
        return found


def ids_by_age() -> list[ColumnElement[bool]]:
    """Return conditions for `list_jobs`: of ids that begin with a time, and of others, older ones.

    Those were random, up to the release of November 2026, and nearly all are greater.
    """
    tomorrow = UUID(int=int((time.time() + DAY) * 1000) << 80)
    return [Job.id < tomorrow, Job.id >= tomorrow]


async def list_jobs(
    session: AsyncSession,
    wanted: Filter,
    ids: ColumnElement[bool],
    *,
    before: UUID | None,
    limit: int = BATCH,
) -> list[Job]:
    """List a batch of jobs, the newest first: those that come `before` this one."""
    query = select(Job).where(ids, *wanted.conditions).order_by(Job.id.desc()).limit(limit)
    if before:
        query = query.where(Job.id < before)
    return list((await session.execute(query)).scalars())


async def find_ids(session: AsyncSession, wanted: Filter, *, after: UUID | None) -> list[UUID]:
    """Find a batch of jobs, the oldest first: those that come `after` this one."""
    query = select(Job.id).where(*wanted.conditions).order_by(Job.id).limit(BATCH)
    if after:
        query = query.where(Job.id > after)
    return list((await session.execute(query)).scalars())


async def find_job(session: AsyncSession, job_id: UUID) -> Job:
    """Load one job. Raises `NotFound`."""
    if (job := await session.get(Job, job_id)) is None:
        raise NotFound("There is no such job, or no longer.")
    return job


async def retry_jobs(
    session: AsyncSession, job_ids: Collection[UUID], passed_over: set[UUID] | None = None
) -> int:
    """Make waiting, dead or discarded jobs due now, with all their attempts; returns how many.

    So are running ones whose lease is over. Other running ones, and those that are done, are left
    alone. Jobs that another transaction holds are waited for, or else added to `passed_over`.
    """
    values = {
        "state": State.WAITING,
        "attempt": 0,
        "due_at": db_now(),
        "leased_until": None,
        "finished_at": None,
        "lease": Job.lease + 1,
    }
    if changed := await _change(session, job_ids, RETRIABLE, values, acts.RETRIED, passed_over):
        after_commit(session, wake)
    return changed


async def discard_jobs(
    session: AsyncSession, job_ids: Collection[UUID], passed_over: set[UUID] | None = None
) -> int:
    """Discard waiting or dead jobs, and running ones whose lease is over; returns how many.

    Other running ones, and those that are done, are left alone. Jobs that another transaction holds
    are waited for, or else added to `passed_over`.
    """
    values = {
        "state": State.DISCARDED,
        "finished_at": db_now(),
        "leased_until": None,
        "unique_key": None,
        "lease": Job.lease + 1,
    }
    return await _change(session, job_ids, UNFINISHED, values, acts.DISCARDED, passed_over)


async def change_one(
    session: AsyncSession,
    change: Callable[[AsyncSession, Collection[UUID]], Awaitable[int]],
    job_id: UUID,
) -> None:
    """Change one job by `retry_jobs` or `discard_jobs`. Raises `NotFound` or `WrongState`."""
    await find_job(session, job_id)
    if not await change(session, [job_id]):
        raise WrongState


async def _change(
    session: AsyncSession,
    job_ids: Collection[UUID],
    which: ColumnElement[bool],
    values: dict[str, Any],
    act: Act,
    passed_over: set[UUID] | None,
) -> int:
    of_these = select(Job.id).where(Job.id.in_(job_ids), which)
    # Locked in the order of their ids, so that two who change the same jobs cannot deadlock.
    chosen = of_these.order_by(Job.id).with_for_update(skip_locked=passed_over is not None)
    changed = await session.execute(
        update(Job)
        .where(Job.id.in_(select(chosen.cte("chosen").c.id)))
        .values(values)
        .returning(Job.id, Job.name),
        execution_options={"synchronize_session": False},
    )
    rows = changed.all()
    for row in rows:
        record(session, act, Subject("job", str(row.id), row.name))
    if passed_over is not None and len(rows) < len(job_ids):
        # What could be changed, and was not. The rows that were are not what they had been.
        left = of_these.where(Job.id.not_in([row.id for row in rows]))
        passed_over.update((await session.execute(left)).scalars())
    return len(rows)


async def delete_finished(session: AsyncSession, seconds: float) -> int:
    """Delete a batch of the jobs that ended more than `seconds` ago; returns how many.

    These are done or discarded; dead jobs stay until somebody retries or discards them.
    """
    old = select(Job.id).where(
        Job.finished_at < db_now(-seconds), Job.state.in_([State.DONE, State.DISCARDED])
    )
    old = old.order_by(Job.id).limit(BATCH).with_for_update(skip_locked=True)
    gone = delete(Job).where(Job.id.in_(select(old.cte("old").c.id)))
    rows = await session.execute(gone.returning(Job.id))
    return len(rows.all())
