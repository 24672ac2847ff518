"""What happens to notes in the background."""

from app.database import db
from app.jobs.queue import job
from app.notes import service


@job("notes.archive_old")
async def archive_old() -> None:
    """Archive old notes, once a day."""
    async with db.transaction() as session:
        await service.archive_old(session)
