"""Logging in, and the notice to the owner of an account whose password strangers guess at."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails, service
from app.auth import sessions
from app.auth.identity import Client
from app.auth.password_checks import TooManyGuesses
from app.auth.tokens import email_key
from app.database import db
from app.errors import TooMany
from app.limits import limits
from app.mail import outbox
from app.mail.message import Email
from app.mail.models import OutboxMail

NOTICES = "1/day"  # for one account


async def log_in(
    email: str, password: str, client: Client, *, remember: bool, replaces: Collection[str] = ()
) -> sessions.NewSession:
    """Check an email address and a password, and begin a session: see `sessions.log_in`.

    When strangers have guessed too often, the owner of the account gets a mail that says so, at
    most one a day. Raises `WrongCredentials`, `TooMany` or `Busy`.
    """
    try:
        return await sessions.log_in(email, password, client, remember=remember, replaces=replaces)
    except TooManyGuesses:
        await _post_notice(email)
        raise


async def _post_notice(email: str) -> None:
    try:
        await limits.hit("guessing-notice", NOTICES, email_key(email))
    except TooMany:
        return
    async with db.transaction() as session:
        user_id, to = await service.addressee(session, email)
        # For an address without an account as well, so that the time this takes tells nothing.
        await outbox.post(session, "accounts.send_guessing_notice", to, user_id=user_id)


async def send_notice(mail_id: UUID) -> None:
    """Send the notice, unless the account has gone, is disabled or has another address by now."""
    await outbox.send(mail_id, _notice)


async def _notice(session: AsyncSession, mail: OutboxMail) -> Email | None:
    user = await service.still_addressed(session, mail)
    if user is None or not user.confirmed:
        return None
    # Without Redis each process has counted by itself.
    return None if await outbox.is_enough(session, mail, NOTICES) else emails.guessing(user)
