"""The background job of the trail."""

from app.audit import service
from app.jobs.queue import job


@job("audit.end_retention", timeout=600)
async def end_retention() -> None:
    """Delete entries that are older than their retention."""
    await service.end_retention()
