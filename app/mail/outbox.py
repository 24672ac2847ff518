"""The outbox: a mail that is added in a transaction is sent only if that commits.

To whom it goes is settled then, and what it says as well if `notify` added it. So whoever takes an
account over, or deletes it, does not change who is told.
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import DAY
from app.database import db, utcnow
from app.jobs.queue import enqueue
from app.mail import delivery
from app.mail.message import Email
from app.mail.models import OutboxMail
from app.validators.email_address import EmailAddress
from app.validators.rate_rules import rate_rules

KEPT_SENT = DAY  # seconds; the limits on mails to one address look so far back
KEPT_UNSENT = 30 * DAY  # seconds; a dead job may be retried so long


async def notify(
    session: AsyncSession, to: EmailAddress, *, subject: str, template: str, **values: Any
) -> None:
    """Add a mail to this transaction, rendered from `template` with `values`, which are JSON.

    For what is decided only when the mail is sent, such as the secret of a link, use `post` with a
    job of your own.
    """
    await post(session, "mail.send_notice", to, subject=subject, template=template, values=values)


async def post(session: AsyncSession, job: str, to: EmailAddress, **values: Any) -> None:
    """Add a mail to this transaction that the job of this name sends.

    The job is called with `mail_id` and calls `send`.
    """
    mail = OutboxMail(
        kind=job,
        email=str(to),
        email_as_typed=to.differing,
        content=values,
    )
    session.add(mail)
    await session.flush()
    await enqueue(session, job, mail_id=str(mail.id))


async def send_notice(mail_id: UUID) -> None:
    """Render and send a mail that `notify` has added. Raises `MailFailed` or `MailRefused`."""
    await send(mail_id, _notice)


async def _notice(session: AsyncSession, mail: OutboxMail) -> Email:
    says: dict[str, Any] = mail.content
    return Email(
        to=mail.to.as_typed, subject=says["subject"], template=says["template"], **says["values"]
    )


async def send(
    mail_id: UUID, decide: Callable[[AsyncSession, OutboxMail], Awaitable[Email | None]]
) -> None:
    """Send a mail that `post` has added, unless it was sent before.

    `decide` returns what is sent as things stand now, or None for nothing; what it writes is
    committed before the mail leaves. Raises `MailFailed` or `MailRefused`.
    """
    async with db.transaction() as session:
        mail = await session.get(OutboxMail, mail_id)
        if mail is None or mail.sent_at:
            return
        email = await decide(session, mail)
        if email is None:
            await session.execute(delete(OutboxMail).where(OutboxMail.id == mail_id))
            return
    await delivery.deliver(email)
    async with db.transaction() as session:
        sent = update(OutboxMail).where(OutboxMail.id == mail_id).values(sent_at=utcnow())
        await session.execute(sent)


async def withdraw(session: AsyncSession, email: str, jobs: Collection[str]) -> None:
    """Delete what these jobs have not sent to an address yet."""
    unsent = (OutboxMail.email == email, OutboxMail.kind.in_(jobs), OutboxMail.sent_at.is_(None))
    await session.execute(delete(OutboxMail).where(*unsent))


async def is_withdrawn(session: AsyncSession, mail: OutboxMail) -> bool:
    """Return whether a mail was withdrawn meanwhile; ask once you have locked what it is about."""
    return (
        await session.execute(select(OutboxMail.id).where(OutboxMail.id == mail.id))
    ).first() is None


async def is_enough(session: AsyncSession, mail: OutboxMail, rule: str) -> bool:
    """Return whether as many mails of this kind as `rule` allows were sent to its address."""
    for item in rate_rules(rule):
        since = utcnow() - timedelta(seconds=item.get_expiry())
        sent = select(func.count(OutboxMail.id)).where(
            OutboxMail.email == mail.email,
            OutboxMail.kind == mail.kind,
            OutboxMail.sent_at > since,
        )
        if (await session.execute(sent)).scalar_one() >= item.amount:
            return True
    return False


async def delete_old(session: AsyncSession) -> None:
    """Delete what was sent more than a day ago, and what could not be sent within 30 days."""
    now = utcnow()
    is_old = or_(
        OutboxMail.sent_at < now - timedelta(seconds=KEPT_SENT),
        OutboxMail.created_at < now - timedelta(seconds=KEPT_UNSENT),
    )
    await session.execute(delete(OutboxMail).where(is_old))
