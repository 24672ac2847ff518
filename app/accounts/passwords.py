"""New passwords.

Changed by whoever knows the former one, or set by whoever reads the account's mail.
"""

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


async def admit_change(
    actor: Identity, change: PasswordChange, client: Client
) -> tuple[Verified, str]:
    """Check the former password and the new one; returns the new one's hash.

    Comes before the transaction. Raises `WrongPassword`, `WeakPassword`, `TooMany` or `Busy`.
    """
    verified = await sessions.require_password(
        actor, change.old_password.get_secret_value(), client, "old_password"
    )
    password = change.new_password.get_secret_value()
    await passwords.require_strong(password, bad_words(actor), "new_password")
    return verified, await passwords.hash(password)


async def change_password(
    session: AsyncSession, actor: Identity, verified: Verified, password_hash: str, client: Client
) -> NewSession:
    """Give somebody another password.

    All their credentials end; returns a session in place of this one.

    Raises `WrongCredentials` if the former password has changed since it was checked.
    """
    # Locked and compared first, so that of two changes at the same moment one is refused.
    mine = (
        User.id == verified.user_id,
        User.password_hash == verified.password_hash,
        User.disabled_at.is_(None),
    )
    changed = await session.execute(
        update(User).where(*mine).values(password_hash=password_hash).returning(User.id)
    )
    if changed.one_or_none() is None:
        raise sessions.WrongCredentials
    await service.end_credentials(session, verified.user_id)
    await enqueue(session, "accounts.send_password_changed", user_id=verified.user_id)
    renewed = Verified(verified.user_id, password_hash)
    return await sessions.start_session(session, renewed, client, remember=actor.remember)


async def admit_reset(email: str, client: Client) -> None:
    """Raise `TooMany` for whoever asks too often, whether or not the address has an account."""
    await limits.hit("reset", settings.RESET_LIMIT_ADDRESS, rate_limit_ip(client.address))
    await limits.hit("reset", settings.RESET_LIMIT_ACCOUNT, email_key(email))


async def request_reset(session: AsyncSession, email: str) -> None:
    """Have a link mailed that sets a new password, if the address has an account.

    Whoever asks learns nothing, nor from the time it takes: a job is written down in any case.
    """
    user = await service.find_user(session, email)
    await enqueue(session, "accounts.send_reset", user_id=user.id if user else 0)


async def send_reset(user_id: int) -> None:
    """Mail the link. To somebody who has not accepted their invitation yet, a new invitation."""
    async with db.transaction() as session:
        user = await session.get(User, user_id)
        if user is None or user.disabled_at:
            return
        purpose = Purpose.INVITE if user.is_invited else Purpose.RESET
        secret = links.new_link(session, user, purpose)
    await links.deliver(user, purpose, user.email, secret)


async def admit_by_link(
    secret: str, purpose: Purpose, password: str, field: str, client: Client
) -> str:
    """Check a new password for whom a link was mailed to; returns its hash.

    Raises `LinkExpired`, `WeakPassword`.
    """
    async with db.session() as session:
        link = await links.read_link(session, secret, purpose)
        user = await service.get_user(session, link.user_id)
    await passwords.require_strong(password, bad_words(user), field)
    # Often it was failing to log in that led here.
    await sessions.forget_failures(user.email, client)
    return await passwords.hash(password)


async def set_by_link(
    session: AsyncSession, secret: str, purpose: Purpose, password_hash: str
) -> None:
    """Use a link to reset the password, or an invitation.

    The address is confirmed too, and all credentials end.
    """
    link, user = await links.use_link(session, secret, purpose)
    if user.email != link.email or (purpose is Purpose.INVITE and not user.is_invited):
        raise links.LinkExpired
    user.password_hash, user.confirmed = password_hash, True
    await service.end_credentials(session, user.id)
    if purpose is Purpose.RESET:
        await enqueue(session, "accounts.send_password_changed", user_id=user.id)


async def send_password_changed(user_id: int) -> None:
    """Tell somebody that their password is another one now."""
    async with db.session() as session:
        user = await session.get(User, user_id)
    if user is not None:
        await delivery.deliver(emails.password_changed(user, page_link("accounts.reset_password")))


def bad_words(who: Identity | User | Registration) -> list[str]:
    """What an attacker who knows somebody tries first."""
    return [who.email, who.first_name, who.last_name, settings.APP_NAME]
