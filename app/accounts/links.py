"""Mailed links: secrets that work once, for one purpose and one address, until they expire.

A request prepares a link, the job that mails it gives it its secret: so no row and no job holds one.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Row, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import Credential, Purpose, User
from app.database import utcnow
from app.errors import DomainError
from app.security.tokens import digest, new_secret


class LinkExpired(DomainError):
    """The link has been used or has expired, or there never was one like it."""

    code = "link-expired"

    def __init__(self) -> None:
        super().__init__("This link does not work any more: it was used before, or it has expired.")


@dataclass(frozen=True, slots=True)
class Link:
    """Whom a link was mailed to, the address that it is about, and what comes into force with it."""

    user_id: int
    email: str
    pending: dict[str, str] | None


async def prepare_link(
    session: AsyncSession, user: User, purpose: Purpose, lifetime: int, pending: dict[str, str] | None = None
) -> UUID:
    """Write down a link that is to work for `lifetime` seconds; returns its id, for the job that mails it."""
    prepared = Credential(
        id=uuid4(),
        purpose=purpose,
        digest=digest(new_secret()),  # of a secret that nobody keeps
        user_id=user.id,
        email=user.email,
        pending=pending,
        expires_at=utcnow() + timedelta(seconds=lifetime),
    )
    session.add(prepared)
    return prepared.id


async def arm_link(session: AsyncSession, link_id: UUID) -> tuple[User, str] | None:
    """Make a prepared link work; returns whom to mail it to, and its secret, or `None` if that is of no use any more.

    Each attempt at mailing gets a secret of its own, and all of them work: which of the mails arrives is not known.
    """
    prepared = await session.get(Credential, link_id)
    if prepared is None or prepared.consumed_at or prepared.expires_at <= utcnow():
        return None
    secret = new_secret()
    copied = {name: getattr(prepared, name) for name in ("purpose", "user_id", "email", "pending", "expires_at")}
    session.add(Credential(digest=digest(secret), **copied))
    return await session.get_one(User, prepared.user_id), secret


async def read_link(session: AsyncSession, secret: str, purpose: Purpose) -> Link:
    """What a link is about; it goes on working. Raises `LinkExpired`."""
    query = select(Credential.user_id, Credential.email, Credential.pending).where(*_works(secret, purpose))
    return _link((await session.execute(query)).one_or_none())


async def use_link(session: AsyncSession, secret: str, purpose: Purpose) -> Link:
    """The same, and it works no more, nor does any other of its kind: of parallel uses one succeeds."""
    statement = update(Credential).where(*_works(secret, purpose)).values(consumed_at=utcnow())
    used = statement.returning(Credential.user_id, Credential.email, Credential.pending)
    link = _link((await session.execute(used)).one_or_none())
    others = update(Credential).where(Credential.user_id == link.user_id, Credential.purpose == purpose)
    await session.execute(others.where(Credential.consumed_at.is_(None)).values(expires_at=utcnow()))
    return link


def _works(secret: str, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return (
        Credential.digest == digest(secret),
        Credential.purpose == purpose,
        Credential.consumed_at.is_(None),
        Credential.expires_at > utcnow(),
    )


def _link(row: Row[int, str | None, dict[str, str] | None] | None) -> Link:
    if row is None:
        raise LinkExpired
    return Link(row.user_id, str(row.email), row.pending)
