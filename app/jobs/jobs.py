"""Recurring jobs of the queue itself."""

from app.config import settings
from app.database import db
from app.jobs import figures, service
from app.jobs.queue import job


@job("jobs.delete_finished", timeout=300)
async def delete_finished() -> None:
    """Delete jobs finished more than JOB_RETENTION ago, in short transactions."""
    deleted = service.BATCH
    while deleted == service.BATCH:
        async with db.transaction() as session:
            deleted = await service.delete_finished(session, settings.JOB_RETENTION)


@job("jobs.keep_finished", timeout=300)
async def keep_finished() -> None:
    """Count finished jobs by day, for the dashboard's plot."""
    await figures.keep_finished()
