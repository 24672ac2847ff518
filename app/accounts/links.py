"""Mailed links: single-use secrets for one purpose and one email address, which expire.

The job that mails a link gives it its secret. So neither a row nor a job holds one. A link proves a
mailbox, and nothing else.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, exists, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import acts, emails
from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest, mailed_secret, new_secret
from app.config import settings
from app.database import db, utcnow
from app.errors import DomainError
from app.jobs.queue import enqueue
from app.mail import delivery, outbox
from app.mail.jobs import MAIL_TIMEOUT
from app.mail.message import Email
from app.mail.models import OutboxMail
from app.trail import record
from app.validators.email_address import EmailAddress, email_address
from app.validators.rate_rules import rate_rules

# What a link that is mailed takes over from the prepared one.
COPIED = ("purpose", "user_id", "email", "email_as_typed", "created_at", "expires_at")

ANYBODY = -1  # no id of a user

# A link counts against the limit only while at least this part of its lifetime is left.
USEFUL = 1 / 4


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
    """The user and the address that a link is for.

    `user_id` is 0 if it is for an address alone; `registration` is then the id of the account that
    it was mailed for, or 0. `recipient` is the address that it was mailed to: `email` as it was
    typed.
    """

    user_id: int
    email: str
    recipient: str
    registration: int
    created_at: datetime


async def mail_link(
    session: AsyncSession, user: User, purpose: Purpose, email: str | None = None
) -> None:
    """Prepare a link and enqueue its mail, to the user's address or another one.

    Its lifetime begins now.
    """
    to = email_address(email) if email else user.address
    prepared = _credential(purpose, to, user.id, utcnow())
    prepared.id, prepared.digest = uuid4(), digest(new_secret())  # of a secret that is thrown away
    session.add(prepared)
    await enqueue(session, "accounts.send_link", link_id=str(prepared.id))


def new_link(
    session: AsyncSession,
    purpose: Purpose,
    to: EmailAddress,
    *,
    user_id: int | None,
    registration: int = 0,
    created_at: datetime | None = None,
) -> str:
    """Create a link that works at once, and return its secret."""
    credential, secret = _credential(purpose, to, user_id, created_at or utcnow()), new_secret()
    credential.digest = digest(secret)
    if registration:
        credential.pending = {"registration": str(registration)}
    session.add(credential)
    return secret


async def mail_now(
    session: AsyncSession,
    purpose: Purpose,
    to: EmailAddress,
    user: User | None,
    *,
    since: datetime,
    registration: int = 0,
    set_up: bool = False,
) -> Email | None:
    """Create a link and return its mail, or None if enough such links are in the mailbox.

    Its lifetime begins at `since`, when it was asked for. A link that confirms an address belongs
    to no user.
    """
    user_id = user.id if user and purpose is not Purpose.CONFIRM else None
    if await is_enough(session, purpose, to, user_id, since):
        return None
    secret = new_link(
        session, purpose, to, user_id=user_id, registration=registration, created_at=since
    )
    _record_mail(session, purpose, user)
    return email_of(purpose, to, secret, user, set_up=set_up)


async def send_link(link_id: UUID) -> None:
    """Mail a prepared link, unless it has expired or enough such links are in the mailbox.

    Each attempt creates a secret of its own, and all of them work, since a failed attempt may have
    been delivered nevertheless. The owner of an address that has an account by now is told of it
    instead.
    """
    email = None
    async with db.transaction() as session:
        owner = (
            select(User)
            .join(Credential, Credential.user_id == User.id)
            .where(Credential.id == link_id)
        )
        user = (await session.execute(owner.with_for_update(of=User))).scalar_one_or_none()
        # Read once its owner is locked, so that nobody revokes it meanwhile.
        prepared = await session.get(Credential, link_id)
        if user is None or prepared is None or user.disabled_at:
            return
        if prepared.consumed_at or prepared.expires_at <= utcnow():
            return
        purpose = Purpose(prepared.purpose)
        to = EmailAddress(str(prepared.email), prepared.email_as_typed)
        taken = await _account_at(session, to) if purpose is Purpose.CHANGE_EMAIL else None
        # Whoever has proved no address of their own counts together with others of that kind: it
        # takes nothing to be many.
        asker = user.id if user.confirmed or purpose is not Purpose.CHANGE_EMAIL else ANYBODY
        if await is_enough(session, purpose, to, asker, prepared.created_at):
            prepared.expires_at = utcnow()
        elif taken:
            prepared.expires_at = utcnow()
            await outbox.post(session, "accounts.send_taken", to)
        else:
            secret = new_secret()
            copied = {name: getattr(prepared, name) for name in COPIED}
            session.add(Credential(digest=digest(secret), **copied))
            email = email_of(purpose, to, secret, user)
            _record_mail(session, purpose, user)
    if email:
        await delivery.deliver(email)


def _record_mail(session: AsyncSession, purpose: Purpose, user: User | None) -> None:
    subject = user.subject if user else None  # an address without an account is not kept
    record(session, acts.LINK_MAILED, subject, after={"purpose": str(purpose)})


async def _account_at(session: AsyncSession, email: str) -> User | None:
    """Return the account whose owner has proved this address, or that is disabled."""
    query = select(User).where(User.email == email, _is_settled())
    return (await session.execute(query)).scalar_one_or_none()


def _is_settled() -> ColumnElement[bool]:
    return or_(User.confirmed, User.disabled_at.is_not(None))


def email_of(
    purpose: Purpose, to: EmailAddress, secret: str, user: User | None, *, set_up: bool = False
) -> Email:
    """Build the mail with a link. Only the owner of this very address is greeted by name."""
    name = emails.greeting(user) if user and user.email == to else ""
    return emails.mailed_link(purpose, to, secret, lifetime(purpose), name=name, set_up=set_up)


async def is_enough(
    session: AsyncSession, purpose: Purpose, email: str, user_id: int | None, before: datetime
) -> bool:
    """Return whether another mail with such a link would be of no use.

    It is if the link has expired before it could be mailed, or if as many links as the limit on
    mails allows are in the mailbox and work for a while yet. So the limit is silent, and never
    leaves the owner of a mailbox without a link that works. The notice of a change of address has
    no limit.
    """
    if purpose is Purpose.OBJECT:
        return False
    now, works = utcnow(), timedelta(seconds=lifetime(purpose))
    if before + works <= now:
        return True
    is_reset = purpose is Purpose.RESET
    rule = settings.RESET_LIMIT_ACCOUNT if is_reset else settings.ACCOUNT_MAIL_LIMIT
    # The mail server has not taken these yet: perhaps it never does.
    is_waiting = exists().where(
        OutboxMail.email == Credential.email,
        OutboxMail.created_at == Credential.created_at,
        OutboxMail.created_at < now - timedelta(seconds=MAIL_TIMEOUT),
        OutboxMail.sent_at.is_(None),
    )
    for item in rate_rules(rule):
        mailed = select(func.count(func.distinct(Credential.created_at))).where(
            Credential.purpose == purpose,
            Credential.email == str(email),
            true() if user_id == ANYBODY else Credential.user_id.is_not_distinct_from(user_id),
            Credential.created_at > before - timedelta(seconds=item.get_expiry()),
            Credential.created_at < before,
            Credential.consumed_at.is_(None),
            Credential.expires_at > now + works * USEFUL,
            ~is_waiting,
        )
        if (await session.execute(mailed)).scalar_one() >= item.amount:
            return True
    return False


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
    registration = int((row.pending or {}).get("registration", 0))
    return Link(row.user_id or 0, email, row.email_as_typed or email, registration, row.created_at)


async def use_link(session: AsyncSession, secret: str, purpose: Purpose) -> tuple[Link, User]:
    """Consume the link of a user and expire their other links of this purpose.

    Of concurrent calls exactly one succeeds; the rest raise `LinkExpired`. Returns the link and its
    user, whose row is locked: all code that revokes credentials locks their user first.
    """
    link = await read_link(session, secret, purpose)
    user = await session.get(User, link.user_id, with_for_update=True)
    others = Credential.user_id == link.user_id
    if purpose is Purpose.OBJECT:
        # Somebody who took the account over may hold a later one, mailed to the address that they
        # chose. The earliest address has the last word.
        others &= Credential.created_at >= link.created_at
    await _consume(session, secret, purpose, others)
    if user is None:
        raise LinkExpired
    return link, user


async def use_confirmation(session: AsyncSession, secret: str) -> tuple[Link, User | None]:
    """Consume a link that confirms an address, and expire the other ones of this address.

    Of concurrent calls exactly one succeeds; the rest raise `LinkExpired`. Returns the link and the
    account that has the address, if there is one; its row is locked.
    """
    link = await read_link(session, secret, Purpose.CONFIRM)
    query = select(User).where(User.email == link.email).with_for_update()
    user = (await session.execute(query)).scalar_one_or_none()
    await _consume(session, secret, Purpose.CONFIRM, Credential.email == link.email)
    return link, user


async def _consume(
    session: AsyncSession, secret: str, purpose: Purpose, others: ColumnElement[bool]
) -> None:
    statement = update(Credential).where(*_usable(secret, purpose)).values(consumed_at=utcnow())
    if (await session.execute(statement.returning(Credential.id))).one_or_none() is None:
        raise LinkExpired
    unused = (Credential.purpose == purpose, Credential.consumed_at.is_(None))
    await session.execute(update(Credential).where(others, *unused).values(expires_at=utcnow()))


def lifetime(purpose: Purpose) -> int:
    """Return the lifetime of a link in seconds: CONFIRM_LIFETIME, RESET_LIFETIME and so on."""
    return int(getattr(settings, f"{purpose.upper()}_LIFETIME"))


def _credential(
    purpose: Purpose, to: EmailAddress, user_id: int | None, created_at: datetime
) -> Credential:
    return Credential(
        purpose=purpose,
        user_id=user_id,
        email=str(to),
        email_as_typed=to.differing,
        created_at=created_at,
        expires_at=created_at + timedelta(seconds=lifetime(purpose)),
    )


def _usable(text: str, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    secret = mailed_secret(text)
    if secret is None:
        raise LinkIncomplete
    owner = exists().where(User.id == Credential.user_id, User.disabled_at.is_(None))
    settled = exists().where(User.email == Credential.email, _is_settled())
    return (
        Credential.digest == digest(secret),
        Credential.purpose == purpose,
        Credential.consumed_at.is_(None),
        Credential.expires_at > utcnow(),
        ~settled if purpose is Purpose.CONFIRM else owner,
    )
