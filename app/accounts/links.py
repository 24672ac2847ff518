"""Mailed links: single-use secrets for one purpose and one email address, which expire.

A request prepares a link; the job that mails it gives it a secret. So neither a row nor a job holds
one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails
from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest, mailed_secret, new_secret
from app.config import settings
from app.database import db, utcnow
from app.errors import DomainError
from app.jobs.queue import enqueue
from app.mail import delivery
from app.mail.message import link as page_link
from app.validators.email_address import EmailAddress, email_address

# Purpose → the page that the link opens, and the subject and template of its email.
MAILS = {
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
        "Your email address is about to change",
        "accounts/email/email_change_notice",
    ),
}
# What a link that is mailed takes over from the prepared one.
COPIED = (
    "purpose",
    "user_id",
    "email",
    "email_as_typed",
    "pending",
    "created_at",
    "expires_at",
)


class LinkExpired(DomainError):
    """The link was used before, has expired, or never existed."""

    code = "link-expired"
    status = 410
    message = "This link no longer works: it has already been used, or it has expired."


class LinkIncomplete(LinkExpired):
    """What came is too short for a link, or holds characters that no link has."""

    code = "link-incomplete"
    message = (
        "This link is incomplete: a part of it is missing. Copy the whole link from the email into "
        "the address bar of your browser."
    )


@dataclass(frozen=True, slots=True)
class Link:
    """The user and the address that a link is for, and what takes effect when it is used.

    `recipient` is the address that it was mailed to: `email` as it was typed.
    """

    user_id: int
    email: str
    recipient: str
    pending: dict[str, str] | None
    created_at: datetime


async def mail_link(
    session: AsyncSession,
    user: User,
    purpose: Purpose,
    email: str | None = None,
    pending: dict[str, str] | None = None,
) -> None:
    """Prepare a link and enqueue its mail, to the user's address or another one.

    Its lifetime begins now.
    """
    to = email_address(email) if email else _own(user)
    prepared = _credential(user.id, purpose, to, pending)
    prepared.id, prepared.digest = uuid4(), digest(new_secret())  # of a secret that is thrown away
    session.add(prepared)
    await enqueue(session, "accounts.send_link", link_id=str(prepared.id))


def new_link(session: AsyncSession, user: User, purpose: Purpose) -> str:
    """Create a link for the user's own address that works at once, and return its secret."""
    credential, secret = _credential(user.id, purpose, _own(user)), new_secret()
    credential.digest = digest(secret)
    session.add(credential)
    return secret


async def send_link(link_id: UUID) -> None:
    """Mail a prepared link, unless it has expired or is no longer needed.

    Each attempt creates a secret of its own, and all of them work, since a failed attempt may have
    been delivered nevertheless.
    """
    async with db.transaction() as session:
        owner = (
            select(User)
            .join(Credential, Credential.user_id == User.id)
            .where(Credential.id == link_id)
        )
        user = (await session.execute(owner.with_for_update(of=User))).scalar_one_or_none()
        # Read once its owner is locked, so that nobody revokes it meanwhile.
        prepared = await session.get(Credential, link_id)
        if user is None or prepared is None:
            return
        if prepared.consumed_at or prepared.expires_at <= utcnow():
            return
        if user.disabled_at or (prepared.purpose == Purpose.CONFIRM and user.confirmed):
            return
        secret = new_secret()
        session.add(
            Credential(digest=digest(secret), **{name: getattr(prepared, name) for name in COPIED})
        )
    to = prepared.email_as_typed or str(prepared.email)
    await deliver(user, Purpose(prepared.purpose), to, secret)


async def deliver(user: User, purpose: Purpose, to: str, secret: str) -> None:
    """Deliver the mail with a link. Call this outside of any transaction."""
    endpoint, subject, template = MAILS[purpose]
    link = page_link(endpoint, token=secret)
    await delivery.deliver(emails.mailed_link(subject, template, user, to, link, lifetime(purpose)))


async def read_link(session: AsyncSession, secret: str, purpose: Purpose) -> Link:
    """Return what a link is for, without consuming it. Raises `LinkExpired`."""
    columns = (
        Credential.user_id,
        Credential.email,
        Credential.email_as_typed,
        Credential.pending,
        Credential.created_at,
    )
    row = (await session.execute(select(*columns).where(*_usable(secret, purpose)))).one_or_none()
    if row is None:
        raise LinkExpired
    email = str(row.email)
    return Link(row.user_id, email, row.email_as_typed or email, row.pending, row.created_at)


async def use_link(session: AsyncSession, secret: str, purpose: Purpose) -> tuple[Link, User]:
    """Consume the link and expire the user's other links of this purpose.

    Of concurrent calls exactly one succeeds; the rest raise `LinkExpired`. Returns the link and its
    user, whose row is locked: all code that revokes credentials locks their user first.
    """
    link = await read_link(session, secret, purpose)
    user = await session.get(User, link.user_id, with_for_update=True)
    statement = update(Credential).where(*_usable(secret, purpose)).values(consumed_at=utcnow())
    used = (await session.execute(statement.returning(Credential.id))).one_or_none()
    if user is None or used is None:
        raise LinkExpired
    others = update(Credential).where(
        Credential.user_id == link.user_id, Credential.purpose == purpose
    )
    if purpose is Purpose.OBJECT:
        # Somebody who took the account over may hold a later one, mailed to the address that they
        # chose. The earliest address has the last word.
        others = others.where(Credential.created_at >= link.created_at)
    await session.execute(
        others.where(Credential.consumed_at.is_(None)).values(expires_at=utcnow())
    )
    return link, user


def lifetime(purpose: Purpose) -> int:
    """Return the lifetime of a link in seconds: CONFIRM_LIFETIME, RESET_LIFETIME and so on."""
    return int(getattr(settings, f"{purpose.upper()}_LIFETIME"))


def _own(user: User) -> EmailAddress:
    return EmailAddress(user.email, user.email_as_typed)


def _credential(
    user_id: int, purpose: Purpose, to: EmailAddress, pending: dict[str, str] | None = None
) -> Credential:
    now = utcnow()
    expires_at = now + timedelta(seconds=lifetime(purpose))
    return Credential(
        purpose=purpose,
        user_id=user_id,
        email=str(to),
        email_as_typed=to.as_typed if to.as_typed != to else None,
        pending=pending,
        created_at=now,
        expires_at=expires_at,
    )


def _usable(text: str, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    secret = mailed_secret(text)
    if secret is None:
        raise LinkIncomplete
    return (
        Credential.digest == digest(secret),
        Credential.purpose == purpose,
        Credential.consumed_at.is_(None),
        Credential.expires_at > utcnow(),
        exists().where(User.id == Credential.user_id, User.disabled_at.is_(None)),
    )
