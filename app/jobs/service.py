"""Operating the queue: list, count, retry, discard and delete jobs."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import after_commit
from app.errors import DomainError, NotFound
from app.jobs import acts
from app.jobs.models import Job, State, db_now
from app.jobs.queue import wake
from app.jobs.schemas import JobsQuery
from app.keyset import Order, Page, Stage, load
from app.trail import Act, Subject, record

BATCH = 1000
UNFINISHED = (State.WAITING, State.DEAD)
RETRIABLE = (*UNFINISHED, State.DISCARDED)

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


async def list_jobs(
    session: AsyncSession, *, state: str | None = None, name: str | None = None, limit: int = 50
) -> list[Job]:
    """List the newest jobs, of one state or name if given."""
    query = select(Job).order_by(Job.created_at.desc()).limit(limit)
    if state:
        query = query.where(Job.state == state)
    if name:
        query = query.where(Job.name == name)
    return list((await session.execute(query)).scalars())


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


async def find_job(session: AsyncSession, job_id: UUID) -> Job:
    """Load one job. Raises `NotFound`."""
    if (job := await session.get(Job, job_id)) is None:
        raise NotFound("There is no such job, or no longer.")
    return job


async def retry_jobs(session: AsyncSession, job_ids: Collection[UUID]) -> int:
    """Make waiting, dead or discarded jobs due now, with all their attempts; returns how many.

    Running and finished jobs are left alone.
    """
    values = {
        "state": State.WAITING,
        "attempt": 0,
        "due_at": db_now(),
        "leased_until": None,
        "finished_at": None,
        "lease": Job.lease + 1,
    }
    if changed := await _change(session, job_ids, RETRIABLE, values, acts.RETRIED):
        after_commit(session, wake)
    return changed


async def discard_jobs(session: AsyncSession, job_ids: Collection[UUID]) -> int:
    """Discard waiting or dead jobs; returns how many. Running and finished ones are left alone."""
    values = {
        "state": State.DISCARDED,
        "finished_at": db_now(),
        "leased_until": None,
        "unique_key": None,
        "lease": Job.lease + 1,
    }
    return await _change(session, job_ids, UNFINISHED, values, acts.DISCARDED)


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
    states: Collection[State],
    values: dict[str, Any],
    act: Act,
) -> int:
    chosen = update(Job).where(Job.id.in_(job_ids), Job.state.in_(states)).values(values)
    changed = await session.execute(
        chosen.returning(Job.id, Job.name), execution_options={"synchronize_session": False}
    )
    rows = changed.all()
    for row in rows:
        record(session, act, Subject("job", str(row.id), row.name))
    return len(rows)


async def delete_finished(session: AsyncSession, seconds: float) -> int:
    """Delete a batch of the jobs that ended more than `seconds` ago; returns how many.

    These are done or discarded; dead jobs stay until somebody retries or discards them.
    """
    old = select(Job.id).where(
        Job.finished_at < db_now(-seconds), Job.state.in_([State.DONE, State.DISCARDED])
    )
    rows = await session.execute(delete(Job).where(Job.id.in_(old.limit(BATCH))).returning(Job.id))
    return len(rows.all())
