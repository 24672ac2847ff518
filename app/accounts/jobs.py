"""What accounts do in the background."""

from app.accounts import sessions
from app.database import db


async def delete_expired_credentials() -> int:
    """Delete sessions, tokens and links that have expired; returns how many."""
    async with db.transaction() as session:
        return await sessions.delete_expired(session)
