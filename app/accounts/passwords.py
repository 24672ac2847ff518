"""Changing a password with the current one, and setting one with a mailed link."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import acts, emails, links, service
from app.accounts.schemas import FullName, PasswordChange
from app.auth import devices, sessions
from app.auth.hashing import Match, WeakPassword, normal_password, passwords
from app.auth.identity import Client, Identity
from app.auth.models import Purpose, User
from app.auth.password_checks import (
    Verified,
    WrongCredentials,
    forget_guesses,
    require_password,
)
from app.auth.sessions import NewSession
from app.config import settings
from app.database import db
from app.limits import limits, rate_limit_ip
from app.mail import outbox
from app.mail.message import Email
from app.mail.models import OutboxMail
from app.trail import record


async def change(actor: Identity, data: PasswordChange, client: Client) -> NewSession:
    """Check the current password, set the new one, and replace the actor's session.

    All sessions, API tokens and mailed links of the user end; the returned session is new. Raises
    `WrongPassword`, `WeakPassword`, `TooMany`, `Busy`, or `WrongCredentials` if the password
    changed while it was being checked.
    """
    verified = await require_password(
        actor, data.old_password.get_secret_value(), client, "old_password"
    )
    password = data.new_password.get_secret_value()
    if actor.must_change_password:
        old = normal_password(data.old_password.get_secret_value())
        _require_another(normal_password(password) == old, "new_password")
    await passwords.require_strong(password, bad_words(actor.email, actor), "new_password")
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        return await _set_password(session, actor, verified, password_hash, client)


def _require_another(is_the_same: bool, field: str) -> None:
    if is_the_same:
        words = "An administrator chose this password. Choose one that only you know."
        raise WeakPassword(words, field=field)


async def _set_password(
    session: AsyncSession, actor: Identity, verified: Verified, password_hash: str, client: Client
) -> NewSession:
    # Locked, so that of two concurrent changes one is refused.
    user = await sessions.lock_user(session, actor, verified)
    if user is None:
        raise WrongCredentials
    user.password_hash, user.must_change_password = password_hash, False
    record(session, acts.PASSWORD_CHANGED, user.subject)
    await session.flush()
    await service.revoke_credentials(session, user.id)
    if user.confirmed:  # else the links to the address may be somebody else's
        await service.end_confirmations(session, user.email)
    await emails.tell_password_changed(session, user)
    renewed = Verified(verified.user_id, password_hash)
    return await sessions.start_session(session, renewed, client, remember=actor.remember)


async def request_reset(email: str, client: Client) -> None:
    """Mail a link that sets a new password, if the address has an account.

    The caller cannot tell whether it has one, not even by the time this takes: a mail is posted in
    either case, and dropped later. Raises `TooMany` for the client's ip alone: how many such mails
    an address gets is limited silently.
    """
    ip = rate_limit_ip(client.ip)
    await limits.hit("reset", settings.RESET_LIMIT_ADDRESS, ip, shared="password resets")
    async with db.transaction() as session:
        user_id, to = await service.addressee(session, email)
        await outbox.post(session, "accounts.send_password_reset", to, user_id=user_id)


async def send_reset(mail_id: UUID) -> None:
    """Mail a reset link; to a user who has not accepted their invitation yet, a new invitation.

    The owner of an address that is not confirmed chooses a name as well: a stranger may have
    registered it.
    """
    await outbox.send(mail_id, _reset_mail)


async def _reset_mail(session: AsyncSession, mail: OutboxMail) -> Email | None:
    user = await service.still_addressed(session, mail, lock=True)
    if user is None or await outbox.is_withdrawn(session, mail):
        return None
    purpose = Purpose.RESET
    if not user.confirmed:
        purpose = Purpose.INVITE if user.is_invited else Purpose.CONFIRM
    return await links.mail_now(
        session,
        purpose,
        user.address,
        user,
        since=mail.created_at,
        set_up=purpose is Purpose.CONFIRM,
    )


async def set_by_link(
    secret: str, purpose: Purpose, password: str, client: Client, *, field: str
) -> int:
    """Set a password with a reset link or an invitation, which is consumed by it.

    The address is confirmed too, and all credentials of the user end but known devices and
    objections; the client becomes a known device. Returns the user's id. Raises `LinkExpired`,
    `WeakPassword` for this field of the form, or `Busy`.
    """
    async with db.session() as session:
        link = await links.read_link(session, secret, purpose)
        user = await service.get_user(session, link.user_id)
    await passwords.require_strong(password, bad_words(user.email, user), field)
    if user.must_change_password:
        is_known = await passwords.verify(user.password_hash, password) is not Match.NO
        _require_another(is_known, field)
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        await _set_password_by_link(session, secret, purpose, password_hash)
        await devices.remember(session, client.device, link.user_id)
    # Guesses are often what led to the reset, and what was guessed is not the password any more.
    await forget_guesses(user.email, client)
    return link.user_id


async def _set_password_by_link(
    session: AsyncSession, secret: str, purpose: Purpose, password_hash: str
) -> None:
    link, user = await links.use_link(session, secret, purpose)
    is_theirs = user.is_invited if purpose is Purpose.INVITE else user.confirmed
    if user.email != link.email or not is_theirs:
        raise links.LinkExpired
    user.password_hash, user.confirmed, user.must_change_password = password_hash, True, False
    act = acts.INVITATION_ACCEPTED if purpose is Purpose.INVITE else acts.PASSWORD_RESET
    record(session, act, user.subject, actor=user.subject)
    await service.revoke_credentials(session, user.id)
    await service.end_confirmations(session, user.email)
    if purpose is Purpose.RESET:
        await emails.tell_password_changed(session, user)


def bad_words(email: str, person: Identity | User | FullName) -> list[str]:
    """Return what an attacker who knows this person would try as a password first."""
    return [email, person.first_name, person.last_name, settings.APP_NAME]
