"""Registration, confirmation of email addresses, and invitations."""

import enum
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails, links, service
from app.accounts.passwords import bad_words
from app.accounts.schemas import Registration, SetUp
from app.auth import devices, sessions
from app.auth.hashing import passwords
from app.auth.identity import Client, Identity
from app.auth.models import Purpose, User
from app.auth.password_checks import (
    Verified,
    WrongPassword,
    forget_guesses,
    require_password_of,
)
from app.auth.sessions import NewSession
from app.config import settings
from app.database import db
from app.errors import DomainError
from app.limits import limits, rate_limit_ip
from app.mail import delivery, outbox
from app.mail.message import Email
from app.mail.models import OutboxMail
from app.validators.email_address import email_address


class SetUpRequired(DomainError):
    """The link is of no registration that could be confirmed: a name and a password are chosen."""

    code = "set-up-required"
    message = "Choose a name and a password for this address."


class Proof(enum.StrEnum):
    """What shows that a registration is one's own, beside the mailbox that its link proves."""

    SHOWN = "shown"  # signed in to it, or in the browser that registered it
    PASSWORD = "password"  # noqa: S105  (still to be typed)
    NONE = "none"  # there is no such registration: a name and a password are chosen


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A link that confirms an address, and what whoever opens it has to show."""

    link: links.Link
    proof: Proof


async def register(person: Registration, client: Client) -> None:
    """Register somebody and mail them what to do next.

    The caller learns nothing about the email address, not even by the time this takes: the same
    statements run whether or not it has an account. The account that there is stays as it is, and
    its owner is told by mail. Raises `WeakPassword`, `TooMany` or `Busy`.
    """
    password = person.password.get_secret_value()
    await passwords.require_strong(password, bad_words(person))
    ip = rate_limit_ip(client.ip)
    await limits.hit("register", settings.REGISTRATION_LIMIT, ip, shared="registrations")
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        user_id = await service.add_unconfirmed(session, person, password_hash)
        await devices.remember(session, client.device, user_id)
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
    async with db.transaction() as session:
        mail = await outbox.find_unsent(session, mail_id)
        email = await _what_to_do(session, mail) if mail else None
    if email is None:
        await outbox.drop(mail_id)
        return
    await delivery.deliver(email)
    await outbox.mark_sent(mail_id)


async def _what_to_do(session: AsyncSession, mail: OutboxMail) -> Email | None:
    """Return the mail for an address as things stand now, or None if none is due.

    A user who was invited gets the invitation again, since it may grant more rights than a
    stranger's password should.
    """
    user = await service.find_user(session, mail.email)
    if user and user.disabled_at:
        return None
    if user and user.confirmed:
        is_enough = await outbox.is_enough(session, mail, settings.ACCOUNT_MAIL_LIMIT)
        return None if is_enough else emails.already_registered(user)
    if mail.content["registration"] is None:  # somebody asked to move to an address that was taken
        return None
    invited = user if user and user.is_invited else None
    purpose = Purpose.INVITE if invited else Purpose.CONFIRM
    to = invited.address if invited else mail.to
    user_id = invited.id if invited else None
    if await links.is_enough(session, purpose, to, user_id, mail.created_at):
        return None
    registration = mail.content["registration"] if purpose is Purpose.CONFIRM else 0
    secret = links.new_link(
        session,
        purpose,
        to,
        user_id=user_id,
        registration=registration,
        created_at=mail.created_at,
    )
    is_first = user is not None and user.id == registration
    return links.email_of(
        purpose, to, secret, user, set_up=purpose is Purpose.CONFIRM and not is_first
    )


async def look(session: AsyncSession, secret: str, actor: Identity, client: Client) -> Confirmation:
    """Return what a confirmation link is for, without consuming it. Raises `LinkExpired`."""
    link = await links.read_link(session, secret, Purpose.CONFIRM)
    user = await session.get(User, link.registration)
    if user is None or user.email != link.email or user.password_hash is None:
        return Confirmation(link, Proof.NONE)
    if actor.user_id == user.id or await devices.is_known(session, client.device, user.id):
        return Confirmation(link, Proof.SHOWN)
    return Confirmation(link, Proof.PASSWORD)


async def confirm(
    secret: str, password: str, actor: Identity, client: Client, *, replaces: str | None = None
) -> NewSession | None:
    """Consume a confirmation link and confirm the registration that it was mailed for.

    The link proves the mailbox. That the registration is their own, people show by being signed in
    to it, by the browser that they registered with, or by its password. Returns a new session,
    which takes the place of `replaces`, unless they are signed in to it. Raises `LinkExpired`,
    `SetUpRequired`, `WrongPassword`, `TooMany` or `Busy`.
    """
    async with db.session() as session:
        asked = await look(session, secret, actor, client)
    verified = None
    if asked.proof is Proof.NONE:
        raise SetUpRequired
    if asked.proof is Proof.PASSWORD:
        if not password:
            raise WrongPassword("Type the password that you registered with.", field="password")
        user_id = asked.link.registration
        guesser = ("confirmation", str(user_id))
        verified = await require_password_of(user_id, password, client, guesser=guesser)
    async with db.transaction() as session:
        user = await _confirm(session, secret, verified)
        if actor.user_id == user.id:
            return None
        shown = verified or Verified(user.id, str(user.password_hash))
        return await sessions.start_session(
            session, shown, client, remember=False, replaces=replaces, typed=verified is not None
        )


async def _confirm(session: AsyncSession, secret: str, verified: Verified | None) -> User:
    link, user = await links.use_confirmation(session, secret)
    if user is None or user.id != link.registration:
        raise links.LinkExpired
    if verified and user.password_hash != verified.password_hash:
        raise WrongPassword(field="password")
    user.email_as_typed = link.recipient if link.recipient != link.email else None
    user.confirmed = True
    await session.flush()
    return user


async def set_up(
    secret: str, chosen: SetUp, client: Client, *, replaces: str | None = None
) -> NewSession:
    """Consume a confirmation link and set up the account of its address anew.

    Whoever opens the link need not know who registered the address, or with which password: that
    account ends, with all that belongs to it. Returns a session, which takes the place of
    `replaces`. Raises `LinkExpired`, `WeakPassword` or `Busy`.
    """
    async with db.session() as session:
        link = await links.read_link(session, secret, Purpose.CONFIRM)
    password = chosen.password.get_secret_value()
    await passwords.require_strong(
        password, [link.email, chosen.first_name, chosen.last_name, settings.APP_NAME]
    )
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        user = await _replace(session, secret, chosen, password_hash)
        begun = await sessions.start_session(
            session, Verified(user.id, password_hash), client, remember=False, replaces=replaces
        )
    # Strangers may have guessed at what they registered.
    await forget_guesses(user.email, client)
    return begun


async def _replace(session: AsyncSession, secret: str, chosen: SetUp, password_hash: str) -> User:
    link, former = await links.use_confirmation(session, secret)
    user = User(
        email=link.recipient,
        first_name=chosen.first_name,
        last_name=chosen.last_name,
        password_hash=password_hash,
        confirmed=True,
    )
    if former is not None:
        user.role_id = former.role_id  # whoever gave it, gave it to the owner of the address
        await session.execute(delete(User).where(User.id == former.id))
    session.add(user)
    try:
        await session.flush()
    except IntegrityError:  # a concurrent request was faster
        raise links.LinkExpired from None
    return user


async def invite_user(
    session: AsyncSession,
    *,
    email: str,
    first_name: str,
    last_name: str,
    role_name: str | None = None,
) -> User:
    """Create an account without a password and mail an invitation to it.

    Without `role_name` the account gets the default role. Raises `EmailTaken`.
    """
    user = await service.create_user(
        session,
        email=email,
        first_name=first_name,
        last_name=last_name,
        password_hash=None,
        confirmed=False,
        role_name=role_name,
    )
    await links.mail_link(session, user, Purpose.INVITE)
    return user
