"""The background jobs of accounts."""

from uuid import UUID

from app.accounts import links, passwords, registration
from app.auth import sessions
from app.database import db
from app.jobs.queue import job

# With JOB_BACKOFF as it is, these attempts take about twelve hours.
MAIL_ATTEMPTS = 20
# Seconds. A slow mail server must be able to finish: if it is cut off before it acknowledges the
# mail, the next attempt sends it a second time.
MAIL_TIMEOUT = 120


@job("accounts.send_link", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_link(link_id: str) -> None:
    """Mail a prepared link."""
    await links.send_link(UUID(link_id))


@job("accounts.send_reset", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_reset(user_id: int) -> None:
    """Mail a link that sets a new password, if the account exists."""
    await passwords.send_reset(user_id)


@job("accounts.send_password_changed", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_password_changed(user_id: int) -> None:
    """Tell a user that their password has been changed."""
    await passwords.send_password_changed(user_id)


@job("accounts.send_already_registered", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_already_registered(user_id: int) -> None:
    """Tell the owner of an account that somebody tried to register with their address."""
    await registration.send_already_registered(user_id)


@job("accounts.delete_expired_credentials", timeout=300)
async def delete_expired_credentials() -> None:
    """Delete expired sessions, tokens and links."""
    async with db.transaction() as session:
        await sessions.delete_expired(session)
