"""Mailed links: secrets that work once, for one purpose and one address, until they expire."""

from dataclasses import dataclass
from datetime import timedelta

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
    """Whom a link was mailed to, and the address that it is about."""

    user_id: int
    email: str


async def new_link(session: AsyncSession, user: User, purpose: Purpose, lifetime: int) -> str:
    """A secret for a link that works for `lifetime` seconds. Made by the job that mails it, so that no row holds it."""
    secret = new_secret()
    session.add(
        Credential(
            purpose=purpose,
            digest=digest(secret),
            user_id=user.id,
            email=user.email,
            expires_at=utcnow() + timedelta(seconds=lifetime),
        )
    )
    return secret


async def read_link(session: AsyncSession, secret: str, purpose: Purpose) -> Link:
    """What a link is about; it goes on working. Raises `LinkExpired`."""
    query = select(Credential.user_id, Credential.email).where(*_works(secret, purpose))
    return _link((await session.execute(query)).one_or_none())


async def use_link(session: AsyncSession, secret: str, purpose: Purpose) -> Link:
    """The same, and it works no more: of parallel uses one succeeds. Raises `LinkExpired`."""
    statement = update(Credential).where(*_works(secret, purpose)).values(consumed_at=utcnow())
    return _link((await session.execute(statement.returning(Credential.user_id, Credential.email))).one_or_none())


def _works(secret: str, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return (
        Credential.digest == digest(secret),
        Credential.purpose == purpose,
        Credential.consumed_at.is_(None),
        Credential.expires_at > utcnow(),
    )


def _link(row: Row[int, str | None] | None) -> Link:
    if row is None:
        raise LinkExpired
    return Link(row.user_id, str(row.email))
