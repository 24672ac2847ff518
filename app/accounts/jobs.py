"""What accounts do in the background."""

from uuid import UUID

from app.accounts import links, passwords, registration
from app.auth import sessions
from app.database import db
from app.jobs.queue import job

# With the longest back-off between the later ones, mail is tried for about twelve hours.
MAIL_ATTEMPTS = 20
# Longer than a slow but willing server talks: cut off before its last word, a mail would be sent
# twice.
MAIL_TIMEOUT = 120


@job("accounts.send_link", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_link(link_id: str) -> None:
    """Mail a link: to confirm an address, to join, to object to a change."""
    await links.send_link(UUID(link_id))


@job("accounts.send_reset", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_reset(user_id: int) -> None:
    """Mail a link to set a password, if there is such an account."""
    await passwords.send_reset(user_id)


@job("accounts.send_password_changed", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_password_changed(user_id: int) -> None:
    """Tell somebody that their password is another one now."""
    await passwords.send_password_changed(user_id)


@job("accounts.send_already_registered", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_already_registered(user_id: int) -> None:
    """Tell an account's owner that somebody wanted another one with its address."""
    await registration.send_already_registered(user_id)


@job("accounts.delete_expired_credentials", timeout=300)
async def delete_expired_credentials() -> None:
    """Delete sessions, tokens and links that have expired."""
    async with db.transaction() as session:
        await sessions.delete_expired(session)
