"""What can be done with notes."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.identity import Identity
from app.database import utcnow
from app.errors import NotFound
from app.notes.models import Note
from app.notes.schemas import NoteIn

AGE = timedelta(days=365)


async def add_note(session: AsyncSession, actor: Identity, note: NoteIn) -> Note:
    """Keep a note for the actor."""
    added = Note(user_id=actor.user_id, text=note.text)
    session.add(added)
    await session.flush()  # the caller shows its id
    return added


async def list_notes(session: AsyncSession, actor: Identity) -> Sequence[Note]:
    """Return the actor's notes that are not archived, the newest first."""
    statement = select(Note).where(Note.user_id == actor.user_id, Note.archived.is_(False))
    return (await session.scalars(statement.order_by(Note.id.desc()))).all()


async def get_note(session: AsyncSession, actor: Identity, note_id: int) -> Note:
    """Return one of the actor's notes. Raises `NotFound` for anybody else's."""
    statement = select(Note).where(Note.user_id == actor.user_id, Note.id == note_id)
    if (note := await session.scalar(statement)) is None:
        raise NotFound("There is no such note.")
    return note


async def archive_old(session: AsyncSession) -> None:
    """Archive the notes that are older than a year."""
    old = Note.created_at < utcnow() - AGE
    await session.execute(update(Note).where(old).values(archived=True))


async def count_notes(session: AsyncSession) -> int:
    """Count everybody's notes."""
    return (await session.execute(select(func.count(Note.id)))).scalar_one()
