"""Registering, and confirming that an address is one's own."""

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


async def admit(person: Registration, client: Client) -> str:
    """Check whether somebody may register with this password, and return its hash.

    Comes before the transaction, since it takes its time. Raises `WeakPassword`, `TooMany` or
    `Busy`.
    """
    password = person.password.get_secret_value()
    await passwords.require_strong(password, bad_words(person))
    await limits.hit("register", settings.REGISTRATION_LIMIT, rate_limit_ip(client.address))
    # Each means a mail to that address, whether or not it has an account.
    await limits.hit("mail", settings.ACCOUNT_MAIL_LIMIT, email_key(person.email))
    return await passwords.hash(password)


async def register_user(session: AsyncSession, person: Registration, password_hash: str) -> None:
    """Create an account that waits for its confirmation.

    Whoever registers learns nothing about the address: if it has an account, its owner is told by
    mail. As long as that account is not confirmed each registration gets a link of its own, and the
    one that is used decides about name and password: nobody can take an address beforehand. Whoever
    was invited gets their invitation again instead, since it may come with more rights than a
    stranger's password should get.
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
            return  # deleted in this very moment
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
    await links.mail_link(session, user, Purpose.CONFIRM, pending=pending)


async def admit_sending_again(actor: Identity) -> None:
    """Raise `TooMany` for somebody who asks for the link too often."""
    await limits.hit("confirmation", settings.CONFIRMATION_LIMIT, actor.user_id)


async def send_again(session: AsyncSession, actor: Identity) -> None:
    """Mail another link to somebody who has logged in; it confirms the account as it is.

    See `admit_sending_again`.
    """
    await links.mail_link(session, await service.get_user(session, actor.user_id), Purpose.CONFIRM)


async def confirm(session: AsyncSession, secret: str) -> int:
    """Use a mailed link: the address it was mailed to is confirmed.

    Returns whose it is. Raises `LinkExpired`.
    """
    link, user = await links.use_link(session, secret, Purpose.CONFIRM)
    if user.email != link.email or user.confirmed:
        raise links.LinkExpired  # it has another address by now, or another link was faster
    if link.pending and link.pending["password_hash"] != user.password_hash:
        # Somebody else has registered with this address before: what they know is worth nothing.
        await service.end_credentials(session, user.id)
        for name, value in link.pending.items():
            setattr(user, name, value)
    user.confirmed = True
    return user.id


async def invite_user(
    session: AsyncSession,
    *,
    email: str,
    first_name: str,
    last_name: str,
    role_name: str = service.USER,
) -> User:
    """Create an account without a password and mail an invitation to it. Raises `EmailTaken`."""
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
    """Tell the owner of an account that somebody wanted another one with its address."""
    async with db.session() as session:
        user = await session.get(User, user_id)
    if user is not None:
        pages = (page_link("accounts.login"), page_link("accounts.reset_password"))
        await delivery.deliver(emails.already_registered(user, *pages))
