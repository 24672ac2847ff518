"""The job that the current task runs: report its progress, complete it, give up."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import settings
from app.database import db
from app.jobs.models import Job
from app.redis import redis

Key = tuple[UUID, int]

PROGRESS_CHANNEL = "jobs:progress"
# Seconds between two writes of a job's progress: nobody reads faster.
PROGRESS_INTERVAL = 0.5


class GiveUp(Exception):
    """Raise this to declare the job dead at once, without another attempt; the text says why."""


class LeaseLost(Exception):
    """Another worker has leased this job, so nothing that this run writes counts."""


@dataclass(slots=True)
class Leased:
    """A job that a worker has leased. The next lease of the same job has a higher number."""

    id: UUID
    name: str
    args: dict[str, Any]
    lease: int
    attempt: int  # how often it has been started
    # Passed in by the engine: marks this job as done; false if its lease was lost.
    complete: Callable[[AsyncSession, Key], Awaitable[bool]]
    # Before it was leased or its lease was last renewed, by the monotonic clock.
    renewed_at: float = 0.0
    completed: bool = False  # by `completing`
    reported_at: float = 0.0  # when progress was last written, by the monotonic clock

    @property
    def key(self) -> Key:
        """Identify this lease in the database: id and number."""
        return self.id, self.lease


current: ContextVar[Leased | None] = ContextVar("current_job", default=None)


@asynccontextmanager
async def completing() -> AsyncIterator[AsyncSession]:
    """Open a transaction that also marks the running job as done when it commits.

    So what it writes is written exactly once. Raises `LeaseLost`, and writes nothing, if another
    worker has leased the job. Raises `RuntimeError` the second time in a job. Outside a job it is a
    plain transaction.
    """
    job = current.get()
    if job and job.completed:
        raise RuntimeError(
            "This job has completed already: put what it writes into one transaction."
        )
    async with db.transaction() as session:
        yield session
        # Last: until then the row is not locked, so that the lease can be renewed.
        if job and not await job.complete(session, job.key):
            raise LeaseLost
    if job:
        job.completed = True


async def report(done: int, total: int | None = None, message: str = "") -> None:
    """Report the progress of the running job; call it as often as you like, outside transactions.

    It is written to the job's row and published at most twice a second, and always at the end
    (`done == total`). Raises `LeaseLost` if another worker has leased the job. Outside a job it
    does nothing.
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
        channel = settings.redis_key(PROGRESS_CHANNEL)
        await redis.publish(channel, json.dumps({"id": str(job.id), **progress}))
