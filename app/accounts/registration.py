"""Registration, confirmation of email addresses, and invitations."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import emails, links, service
from app.accounts.passwords import bad_words
from app.accounts.schemas import Registration
from app.auth.hashing import passwords
from app.auth.identity import Client, Identity
from app.auth.models import Purpose, User
from app.auth.tokens import email_key
from app.config import settings
from app.database import db
from app.jobs.queue import enqueue
from app.limits import limits, rate_limit_ip
from app.mail import delivery
from app.mail.message import link as page_link


async def register(person: Registration, client: Client) -> None:
    """Register somebody and mail them what to do next.

    The caller learns nothing about the email address: if it has an account, its owner is told by
    mail. Raises `WeakPassword`, `TooMany` or `Busy`.
    """
    password = person.password.get_secret_value()
    await passwords.require_strong(password, bad_words(person))
    ip = rate_limit_ip(client.ip)
    await limits.hit("register", settings.REGISTRATION_LIMIT, ip, shared="registrations")
    # Each registration mails the address, whether or not it has an account.
    await limits.hit("mail", settings.ACCOUNT_MAIL_LIMIT, email_key(person.email))
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        await _register_user(session, person, password_hash)


async def _register_user(session: AsyncSession, person: Registration, password_hash: str) -> None:
    """Create an unconfirmed account, or tell the owner of the one that there is.

    While an account is unconfirmed, each registration gets a link of its own, and the link that is
    used decides about name and password: nobody can reserve somebody else's address. A user who
    was invited gets the invitation again instead, since it may grant more rights than a stranger's
    password should.
    """
    try:
        user = await service.create_user(
            session,
            email=person.email,
            first_name=person.first_name,
            last_name=person.last_name,
            password_hash=password_hash,
            confirmed=False,
        )
    except service.EmailTaken:
        found = await service.find_user(session, person.email)
        if found is None:
            return  # deleted between the two statements
        user = found
    if user.confirmed:
        await enqueue(session, "accounts.send_already_registered", user_id=user.id)
        return
    if user.is_invited:
        await links.mail_link(session, user, Purpose.INVITE)
        return
    pending = {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "password_hash": password_hash,
    }
    # To the form that was typed now: the mail to an earlier one may never have arrived.
    await links.mail_link(session, user, Purpose.CONFIRM, person.email, pending)


async def resend_confirmation(actor: Identity) -> None:
    """Mail another confirmation link to a signed-in user; does nothing if they are confirmed.

    The link confirms the account with its present name and password. Raises `TooMany`.
    """
    if actor.confirmed:
        return
    await limits.hit("confirmation", settings.CONFIRMATION_LIMIT, actor.user_id)
    async with db.transaction() as session:
        user = await service.get_user(session, actor.user_id)
        await links.mail_link(session, user, Purpose.CONFIRM)


async def confirm(session: AsyncSession, secret: str) -> int:
    """Consume a confirmation link, confirm the address it was mailed to, and return the user's id.

    Raises `LinkExpired`, also if the account has another address by now or is confirmed already.
    """
    link, user = await links.use_link(session, secret, Purpose.CONFIRM)
    if user.email != link.email or user.confirmed:
        raise links.LinkExpired
    if link.pending and link.pending["password_hash"] != user.password_hash:
        # Somebody else registered with this address earlier: their password must not stay valid.
        await service.revoke_credentials(session, user.id)
        for name, value in link.pending.items():
            setattr(user, name, value)
    user.email_as_typed = link.recipient if link.recipient != link.email else None
    user.confirmed = True
    return user.id


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


async def send_already_registered(user_id: int) -> None:
    """Tell the owner of an account that somebody tried to register with their address."""
    async with db.session() as session:
        user = await session.get(User, user_id)
    if user is not None:
        pages = (page_link("accounts.login"), page_link("accounts.reset_password"))
        await delivery.deliver(emails.already_registered(user, *pages))
