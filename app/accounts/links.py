"""Mailed links: secrets that work once, for one purpose and one address, until they expire.

A request prepares a link, the job that mails it gives it its secret: so no row and no job holds
one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails
from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest, new_secret
from app.config import settings
from app.database import db, utcnow
from app.errors import DomainError
from app.jobs.queue import enqueue
from app.mail import delivery
from app.mail.message import link as page_link

# For each purpose the page that a link leads to, and the mail that brings it: its subject and its
# templates.
KINDS = {
    Purpose.CONFIRM: (
        "accounts.confirm_account",
        "Confirm your account",
        "accounts/email/confirmation",
    ),
    Purpose.RESET: ("accounts.set_password", "Reset your password", "accounts/email/reset"),
    Purpose.CHANGE_EMAIL: (
        "accounts.confirm_change_of_email",
        "Confirm your new email",
        "accounts/email/change_of_email",
    ),
    Purpose.INVITE: (
        "accounts.join_from_invite",
        "You are invited to join",
        "accounts/email/invitation",
    ),
    Purpose.OBJECT: (
        "accounts.keep_email",
        "Your e-mail address is about to change",
        "accounts/email/objection",
    ),
}


class LinkExpired(DomainError):
    """The link has been used or has expired, or there never was one like it."""

    code = "link-expired"
    status = 410
    message = "This link does not work any more: it was used before, or it has expired."


@dataclass(frozen=True, slots=True)
class Link:
    """Whom a link was mailed to, the address that it is about, and what comes into force
    with it.
    """

    user_id: int
    email: str
    pending: dict[str, str] | None
    created_at: datetime


async def mail_link(
    session: AsyncSession,
    user: User,
    purpose: Purpose,
    email: str | None = None,
    pending: dict[str, str] | None = None,
) -> None:
    """Have a link mailed to somebody, or to another address; its time begins now."""
    prepared = _credential(user.id, purpose, email or user.email, pending)
    prepared.id, prepared.digest = uuid4(), digest(new_secret())  # of a secret that nobody keeps
    session.add(prepared)
    await enqueue(session, "accounts.send_link", link_id=str(prepared.id))


def new_link(session: AsyncSession, user: User, purpose: Purpose) -> str:
    """A link to somebody's own address that works at once; returns its secret."""
    credential, secret = _credential(user.id, purpose, user.email), new_secret()
    credential.digest = digest(secret)
    session.add(credential)
    return secret


async def send_link(link_id: UUID) -> None:
    """Mail a link that was prepared, unless it is of no use any more.

    Each attempt gets a secret of its own, and all of them work: which of the mails arrives is not
    known.
    """
    async with db.transaction() as session:
        mine = (
            select(User)
            .join(Credential, Credential.user_id == User.id)
            .where(Credential.id == link_id)
        )
        user = (await session.execute(mine.with_for_update(of=User))).scalar_one_or_none()
        prepared = await session.get(
            Credential, link_id
        )  # once its owner is locked: nobody ends it meanwhile
        if (
            user is None
            or prepared is None
            or prepared.consumed_at
            or prepared.expires_at <= utcnow()
        ):
            return
        if user.disabled_at or (prepared.purpose == Purpose.CONFIRM and user.confirmed):
            return
        secret = new_secret()
        names = ("purpose", "user_id", "email", "pending", "created_at", "expires_at")
        session.add(
            Credential(digest=digest(secret), **{name: getattr(prepared, name) for name in names})
        )
    await deliver(user, Purpose(prepared.purpose), str(prepared.email), secret)


async def deliver(user: User, purpose: Purpose, to: str, secret: str) -> None:
    """Hand the mail with a link on; outside any transaction."""
    endpoint, subject, template = KINDS[purpose]
    link = page_link(endpoint, token=secret)
    await delivery.deliver(emails.mailed_link(subject, template, user, to, link, lifetime(purpose)))


async def read_link(session: AsyncSession, secret: str, purpose: Purpose) -> Link:
    """What a link is about; it goes on working. Raises `LinkExpired`."""
    columns = (Credential.user_id, Credential.email, Credential.pending, Credential.created_at)
    row = (await session.execute(select(*columns).where(*_works(secret, purpose)))).one_or_none()
    if row is None:
        raise LinkExpired
    return Link(row.user_id, str(row.email), row.pending, row.created_at)


async def use_link(session: AsyncSession, secret: str, purpose: Purpose) -> tuple[Link, User]:
    """The same, and it works no more, nor does any other of its kind.

    Of parallel uses one succeeds.

    Returns whose it is as well, locked: whoever ends credentials locks their owner first.
    """
    link = await read_link(session, secret, purpose)
    user = await session.get(User, link.user_id, with_for_update=True)
    statement = update(Credential).where(*_works(secret, purpose)).values(consumed_at=utcnow())
    used = (await session.execute(statement.returning(Credential.id))).one_or_none()
    if user is None or used is None:
        raise LinkExpired
    others = update(Credential).where(
        Credential.user_id == link.user_id, Credential.purpose == purpose
    )
    if purpose is Purpose.OBJECT:
        # Whoever took an account over gets one as well, at the address that they chose: the former
        # has the last word.
        others = others.where(Credential.created_at >= link.created_at)
    await session.execute(
        others.where(Credential.consumed_at.is_(None)).values(expires_at=utcnow())
    )
    return link, user


def lifetime(purpose: Purpose) -> int:
    """The seconds that a link works: CONFIRM_LIFETIME, RESET_LIFETIME and so on."""
    return int(getattr(settings, f"{purpose.upper()}_LIFETIME"))


def _credential(
    user_id: int, purpose: Purpose, email: str, pending: dict[str, str] | None = None
) -> Credential:
    now = utcnow()
    expires_at = now + timedelta(seconds=lifetime(purpose))
    return Credential(
        purpose=purpose,
        user_id=user_id,
        email=email,
        pending=pending,
        created_at=now,
        expires_at=expires_at,
    )


def _works(secret: str, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return (
        Credential.digest == digest(secret),
        Credential.purpose == purpose,
        Credential.consumed_at.is_(None),
        Credential.expires_at > utcnow(),
        exists().where(User.id == Credential.user_id, User.disabled_at.is_(None)),
    )
