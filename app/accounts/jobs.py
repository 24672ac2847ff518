"""The background jobs of accounts."""

from uuid import UUID

from app.accounts import figures, links, log_in, passwords, registration
from app.auth import sessions
from app.database import db
from app.jobs.queue import job
from app.mail.jobs import MAIL_ATTEMPTS, MAIL_TIMEOUT


@job("accounts.send_link", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_link(link_id: str) -> None:
    """Mail a prepared link."""
    await links.send_link(UUID(link_id))


@job("accounts.send_registration", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_registration(mail_id: str) -> None:
    """Mail whoever owns a registered address what to do next."""
    await registration.send_registration(UUID(mail_id))


@job("accounts.send_taken", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_taken(mail_id: str) -> None:
    """Tell the owner of an account that somebody asked to use its address for another one."""
    await registration.send_already_registered(UUID(mail_id))


@job("accounts.send_password_reset", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_password_reset(mail_id: str) -> None:
    """Mail a link that sets a new password, if the account exists."""
    await passwords.send_reset(UUID(mail_id))


@job("accounts.send_guessing_notice", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_guessing_notice(mail_id: str) -> None:
    """Tell the owner of an account that strangers guess at its password."""
    await log_in.send_notice(UUID(mail_id))


@job("accounts.delete_expired_credentials", timeout=300)
async def delete_expired_credentials() -> None:
    """Delete expired sessions, tokens and links."""
    async with db.transaction() as session:
        await sessions.delete_expired(session)


@job("accounts.keep_sign_ups", timeout=300)
async def keep_sign_ups() -> None:
    """Count new accounts by day, for the dashboard's plot."""
    await figures.keep_sign_ups()
