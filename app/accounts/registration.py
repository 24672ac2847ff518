"""Registration, what is mailed for it, and invitations."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import acts, emails, links, service
from app.accounts.passwords import bad_words
from app.accounts.schemas import Registration
from app.auth.hashing import passwords
from app.auth.identity import Client, Identity
from app.auth.models import Purpose, Role, User
from app.config import settings
from app.database import db
from app.limits import limits, rate_limit_ip
from app.mail import outbox
from app.mail.message import Email
from app.mail.models import OutboxMail
from app.trail import record
from app.validators.email_address import email_address


async def register(person: Registration, client: Client) -> None:
    """Register somebody and mail them what to do next.

    The caller learns nothing about the email address, not even by the time this takes: as much
    is written whether or not it has an account. An existing account stays as it is, and
    its owner is told by mail. Raises `WeakPassword`, `TooMany` or `Busy`.
    """
    password = person.password.get_secret_value()
    await passwords.require_strong(password, bad_words(person.email, person))
    ip = rate_limit_ip(client.ip)
    await limits.hit("register", settings.REGISTRATION_LIMIT, ip, shared="registrations")
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        user_id = await service.add_unconfirmed(session, person, password_hash, client.device)
        await _post(session, person.email, user_id)


async def resend_confirmation(actor: Identity) -> None:
    """Mail another confirmation link to a signed-in user; does nothing if they are confirmed.

    Raises `TooMany`.
    """
    if actor.confirmed:
        return
    await limits.hit("confirmation", settings.CONFIRMATION_LIMIT, actor.user_id)
    async with db.transaction() as session:
        user = await service.get_user(session, actor.user_id)
        await _post(session, user.recipient, user.id)


async def _post(session: AsyncSession, email: str, user_id: int) -> None:
    to = email_address(email)
    await outbox.post(session, "accounts.send_registration", to, registration=user_id)


async def send_registration(mail_id: UUID) -> None:
    """Mail the owner of an address, for which somebody has registered, what they can do."""
    await outbox.send(mail_id, _what_to_do)


async def _what_to_do(session: AsyncSession, mail: OutboxMail) -> Email | None:
    """Return the mail for an address as things stand now, or None if none is due.

    An invited user gets the invitation again: a stranger's password must not obtain their role.
    """
    user = await service.find_user(session, mail.email, lock=True)
    if await outbox.is_withdrawn(session, mail):
        return None
    if user is None or user.is_unproven:
        registration = mail.content["registration"]
        return await links.mail_now(
            session,
            Purpose.CONFIRM,
            mail.to,
            user,
            since=mail.created_at,
            registration=registration,
            set_up=user is None or user.id != registration,
        )
    if user.disabled_at:
        return None
    if user.is_invited:
        return await links.mail_now(
            session, Purpose.INVITE, user.address, user, since=mail.created_at
        )
    if user.id == mail.content["registration"]:
        return None  # confirmed meanwhile, by an earlier mail
    return await _already_registered(session, mail)


async def send_already_registered(mail_id: UUID) -> None:
    """Tell the owner of an account that somebody asked to use its address for another one."""
    await outbox.send(mail_id, _already_registered)


async def _already_registered(session: AsyncSession, mail: OutboxMail) -> Email | None:
    user = await service.find_user(session, mail.email)
    if user is None or user.disabled_at or not user.confirmed:
        return None
    is_enough = await outbox.is_enough(session, mail, settings.ACCOUNT_MAIL_LIMIT)
    return None if is_enough else emails.already_registered(user)


async def invite_user(
    session: AsyncSession,
    *,
    email: str,
    first_name: str,
    last_name: str,
    role: Role | None = None,
) -> User:
    """Create an account without a password and mail an invitation to it.

    Without `role` the account gets the default role. It takes the place of an account whose
    address nobody has confirmed. Raises `EmailTaken`.
    """
    await service.make_way(session, email)
    user = await service.create_user(
        session,
        email=email,
        first_name=first_name,
        last_name=last_name,
        password_hash=None,
        confirmed=False,
        role=role,
    )
    record(session, acts.INVITED, user.subject)
    await links.mail_link(session, user, Purpose.INVITE)
    return user
