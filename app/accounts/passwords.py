"""Changing a password with the current one, and setting one with a mailed link."""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails, links, service
from app.accounts.schemas import PasswordChange, Registration
from app.auth import sessions
from app.auth.hashing import passwords
from app.auth.identity import Client, Identity
from app.auth.models import Purpose, User
from app.auth.sessions import NewSession, Verified
from app.auth.tokens import email_key
from app.config import settings
from app.database import db
from app.jobs.queue import enqueue
from app.limits import limits, rate_limit_ip
from app.mail import delivery
from app.mail.message import link as page_link


async def change(actor: Identity, data: PasswordChange, client: Client) -> NewSession:
    """Check the current password, set the new one, and replace the actor's session.

    All sessions, API tokens and mailed links of the user end; the returned session is new. Raises
    `WrongPassword`, `WeakPassword`, `TooMany`, `Busy`, or `WrongCredentials` if the password
    changed while it was being checked.
    """
    verified = await sessions.require_password(
        actor, data.old_password.get_secret_value(), client, "old_password"
    )
    password = data.new_password.get_secret_value()
    await passwords.require_strong(password, bad_words(actor), "new_password")
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        return await _set_password(session, actor, verified, password_hash, client)


async def _set_password(
    session: AsyncSession, actor: Identity, verified: Verified, password_hash: str, client: Client
) -> NewSession:
    # Compared by the UPDATE itself, so that of two concurrent changes one is refused.
    unchanged = (
        User.id == verified.user_id,
        User.password_hash == verified.password_hash,
        User.disabled_at.is_(None),
    )
    statement = update(User).where(*unchanged).values(password_hash=password_hash)
    if (await session.execute(statement.returning(User.id))).one_or_none() is None:
        raise sessions.WrongCredentials
    await service.revoke_credentials(session, verified.user_id)
    await enqueue(session, "accounts.send_password_changed", user_id=verified.user_id)
    renewed = Verified(verified.user_id, password_hash)
    return await sessions.start_session(session, renewed, client, remember=actor.remember)


async def request_reset(email: str, client: Client) -> None:
    """Mail a link that sets a new password, if the address has an account.

    The caller cannot tell whether it has one, not even by the time this takes: a job is enqueued
    in either case. Raises `TooMany`, also for addresses without an account.
    """
    ip = rate_limit_ip(client.ip)
    await limits.hit("reset", settings.RESET_LIMIT_ADDRESS, ip, shared="password resets")
    await limits.hit("reset", settings.RESET_LIMIT_ACCOUNT, email_key(email))
    async with db.transaction() as session:
        user = await service.find_user(session, email)
        await enqueue(session, "accounts.send_reset", user_id=user.id if user else 0)


async def send_reset(user_id: int) -> None:
    """Mail a reset link; to a user who has not accepted their invitation yet, a new invitation."""
    async with db.transaction() as session:
        user = await session.get(User, user_id)
        if user is None or user.disabled_at:
            return
        purpose = Purpose.INVITE if user.is_invited else Purpose.RESET
        secret = links.new_link(session, user, purpose)
    await links.deliver(user, purpose, user.recipient, secret)


async def set_by_link(
    secret: str, purpose: Purpose, password: str, client: Client, *, field: str
) -> None:
    """Set a password with a reset link or an invitation, which is consumed by it.

    The address is confirmed too, and all credentials of the user end. Raises `LinkExpired`,
    `WeakPassword` for this field of the form, or `Busy`.
    """
    async with db.session() as session:
        link = await links.read_link(session, secret, purpose)
        user = await service.get_user(session, link.user_id)
    await passwords.require_strong(password, bad_words(user), field)
    # Failed log-ins are often what led to the reset.
    await sessions.forget_failures(user.email, client)
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        await _set_password_by_link(session, secret, purpose, password_hash)


async def _set_password_by_link(
    session: AsyncSession, secret: str, purpose: Purpose, password_hash: str
) -> None:
    link, user = await links.use_link(session, secret, purpose)
    if user.email != link.email or (purpose is Purpose.INVITE and not user.is_invited):
        raise links.LinkExpired
    user.password_hash, user.confirmed = password_hash, True
    await service.revoke_credentials(session, user.id)
    if purpose is Purpose.RESET:
        await enqueue(session, "accounts.send_password_changed", user_id=user.id)


async def send_password_changed(user_id: int) -> None:
    """Tell a user that their password has been changed."""
    async with db.session() as session:
        user = await session.get(User, user_id)
    if user is not None:
        await delivery.deliver(emails.password_changed(user, page_link("accounts.reset_password")))


def bad_words(person: Identity | User | Registration) -> list[str]:
    """Return what an attacker who knows this person would try as a password first."""
    return [person.email, person.first_name, person.last_name, settings.APP_NAME]
