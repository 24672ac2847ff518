"""The job that this task runs, and what a job may do about itself while it runs."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import db
from app.jobs.models import Job
from app.redis import redis

Key = tuple[UUID, int]

PROGRESS_CHANNEL = "jobs:progress"
# Seconds between two reports of a job's progress that are written: nobody reads faster.
PROGRESS_INTERVAL = 0.5


class GiveUp(Exception):
    """Raise this to make the job dead at once, without further attempts; the text says why."""


class LeaseLost(Exception):
    """Another worker has leased this job meanwhile, so nothing that this one does counts."""


@dataclass(slots=True)
class Leased:
    """A job that a worker has leased. Whoever leases it next raises the number of its lease."""

    id: UUID
    name: str
    args: dict[str, Any]
    lease: int
    attempt: int  # how often it has been started
    # The engine's own way to complete jobs: it returns those whose lease was still valid.
    finish: Callable[[AsyncSession, Iterable[Key]], Awaitable[set[Key]]]
    completed: bool = False  # in a transaction of its own
    reported_at: float = 0.0  # when it last reported progress, by the process's monotonic clock

    @property
    def key(self) -> Key:
        """What its outcome is recorded under."""
        return self.id, self.lease


current: ContextVar[Leased | None] = ContextVar("current_job", default=None)


@asynccontextmanager
async def completing() -> AsyncIterator[AsyncSession]:
    """Open a transaction that also completes the running job.

    What it writes to the database is therefore written exactly once. Raises `LeaseLost` and writes
    nothing if another worker has leased the job meanwhile. Outside a job it is a plain transaction.
    """
    job = current.get()
    if job and job.completed:
        raise RuntimeError(
            "This job has completed already: what it does has to be in one transaction."
        )
    async with db.transaction() as session:
        yield session
        # Last, so that the lease can be renewed meanwhile.
        if job and not await job.finish(session, [job.key]):
            raise LeaseLost
    if job:
        job.completed = True


async def report(done: int, total: int | None = None, message: str = "") -> None:
    """Report the progress of the running job; call it as often as you like, outside transactions.

    It is kept on the job's row and published at most twice a second, the end (`done == total`)
    always. Raises `LeaseLost` if another worker has leased the job: there is no use in going on.
    """
    job = current.get()
    if job is None or (time.monotonic() - job.reported_at < PROGRESS_INTERVAL and done != total):
        return
    job.reported_at = time.monotonic()
    progress = {"done": done, "total": total, "message": message[:200]}
    async with db.transaction() as session:
        own = update(Job).where(Job.id == job.id, Job.lease == job.lease).values(progress=progress)
        if (await session.execute(own.returning(Job.id))).first() is None:
            raise LeaseLost
    with suppress(RedisError, OSError):
        await redis.publish(PROGRESS_CHANNEL, json.dumps({"id": str(job.id), **progress}))
