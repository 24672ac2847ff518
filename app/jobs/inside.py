"""What a job may do about itself while it runs."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import db
from app.jobs import leases
from app.jobs.current import LeaseLost, current
from app.jobs.models import Job
from app.redis import redis

PROGRESS_CHANNEL = "jobs:progress"
# Seconds between two notes of a job's progress: nobody reads faster.
PROGRESS_INTERVAL = 0.5


@asynccontextmanager
async def completing() -> AsyncIterator[AsyncSession]:
    """A transaction that also completes the job that runs.

    What it writes to the database is then written exactly once.

    Raises `LeaseLost`, and writes nothing, if another worker has the job by now.
    """
    job = current.get()
    if job and job.completed:
        raise RuntimeError(
            "This job has completed already: what it does has to be in one transaction."
        )
    async with db.transaction() as session:
        yield session
        # Last, so that the lease can be renewed meanwhile.
        if job and not await leases.finish(session, [job.key]):
            raise LeaseLost
    if job:
        job.completed = True


async def report(done: int, total: int | None = None, message: str = "") -> None:
    """Tell how far the job that runs is; call it as often as you like, outside of transactions.

    It is kept on the job's row and published at most twice a second, the end (`done == total`)
    always. Raises `LeaseLost` if another worker has the job by now: there is no use in going on.
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
