"""Another e-mail address.

Asked for with the password, confirmed at the new one, objected to at the former one.
"""

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import links, service
from app.accounts.schemas import EmailChange
from app.auth import sessions
from app.auth.identity import Client, Identity
from app.auth.models import Purpose, User
from app.auth.tokens import email_key
from app.config import settings
from app.errors import DomainError
from app.jobs.queue import enqueue
from app.limits import limits


class SameEmail(DomainError):
    """The address that is asked for is the one that the account has."""

    code = "same-email"
    message, field = "This is your address already.", "email"


async def admit(actor: Identity, change: EmailChange, client: Client) -> sessions.Verified:
    """Check the password, and how often this is asked for.

    Raises `SameEmail`, `WrongPassword`, `TooMany` or `Busy`.
    """
    if change.email == actor.email:
        raise SameEmail
    verified = await sessions.require_password(actor, change.password.get_secret_value(), client)
    await limits.hit("change-email", settings.CONFIRMATION_LIMIT, actor.user_id)
    await limits.hit("mail", settings.ACCOUNT_MAIL_LIMIT, email_key(change.email))
    return verified


async def request_change(session: AsyncSession, verified: sessions.Verified, email: str) -> None:
    """Mail a link to the new address, and to the former one, if it was confirmed, how to object.

    Whoever asks learns nothing about the new address: if it has an account, its owner is told.
    Raises `WrongPassword` if the password has changed since it was checked.
    """
    user = await service.get_user(session, verified.user_id, lock=True)
    if user.password_hash != verified.password_hash:
        raise sessions.WrongPassword(field="password")
    if (taken := await service.find_user(session, email)) and taken.confirmed:
        await enqueue(session, "accounts.send_already_registered", user_id=taken.id)
    else:
        await links.mail_link(session, user, Purpose.CHANGE_EMAIL, email)
    if user.confirmed:
        await links.mail_link(session, user, Purpose.OBJECT)


async def confirm(session: AsyncSession, secret: str) -> int:
    """Use the link: its address is the account's from now on, and confirmed. Returns whose it is.

    Sessions and links end, API tokens go on. Raises `LinkExpired`, or `EmailTaken` if somebody else
    was faster.
    """
    link, user = await links.use_link(session, secret, Purpose.CHANGE_EMAIL)
    await _move(session, user, link.email)
    await service.end_credentials(session, user.id, service.EVERYTHING - {Purpose.TOKEN})
    return user.id


async def revert_email_change(session: AsyncSession, secret: str) -> str:
    """Use the link in the notice.

    The account has its former address, and nobody knows its password any more.

    Whether or not the change has come about. Everything ends; returns the secret of a link to
    choose a new password.
    """
    link, user = await links.use_link(session, secret, Purpose.OBJECT)
    await _move(session, user, link.email)
    user.password_hash = None
    await service.end_credentials(session, user.id)
    return links.new_link(session, user, Purpose.RESET)


async def _move(session: AsyncSession, user: User, email: str) -> None:
    # Whoever reads its mail decides about an address: an account that never proved it keeps nobody
    # from it.
    squatter = (User.email == email, User.confirmed.is_(False), User.id != user.id)
    await session.execute(delete(User).where(*squatter))
    user.email, user.confirmed = email, True
    try:
        await session.flush()
    except IntegrityError:
        raise service.EmailTaken from None
