"""Changing the email address of an account.

The change is requested with the password, confirmed by a link mailed to the new address, and can
be reverted by a link mailed to the previous one.
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
from app.database import db
from app.errors import DomainError
from app.jobs.queue import enqueue
from app.limits import limits
from app.validators.email_address import normalised


class SameEmail(DomainError):
    """The account has the requested address already."""

    code = "same-email"
    message, field = "This is already your email address.", "email"


async def request(actor: Identity, change: EmailChange, client: Client) -> None:
    """Check the password and mail a link to the new address, which changes it.

    The caller does not learn whether the new address has an account. Raises `SameEmail`,
    `WrongPassword`, `TooMany` or `Busy`.
    """
    if change.email == actor.email:
        raise SameEmail
    verified = await sessions.require_password(actor, change.password.get_secret_value(), client)
    await limits.hit("change-email", settings.CONFIRMATION_LIMIT, actor.user_id)
    await limits.hit("mail", settings.ACCOUNT_MAIL_LIMIT, email_key(change.email))
    async with db.transaction() as session:
        await mail_links(session, verified, change.email)


async def mail_links(session: AsyncSession, verified: sessions.Verified, email: str) -> None:
    """Mail a link to the new address, and one that reverts the change to a confirmed present one.

    If the new address has an account, its owner is told instead. Raises `WrongPassword` if the
    password has changed since it was checked.
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


async def confirm(
    session: AsyncSession, secret: str, actor: Identity, client: Client
) -> sessions.NewSession | None:
    """Consume the link mailed to the new address, which becomes the account's confirmed address.

    All sessions and links of the user end, API tokens do not. Returns a new session if the actor
    is that user. Raises `LinkExpired`, or `EmailTaken` if the address got an account meanwhile.
    """
    link, user = await links.use_link(session, secret, Purpose.CHANGE_EMAIL)
    await _set_email(session, user, link)
    await service.revoke_credentials(session, user.id, service.REVOCABLE - {Purpose.TOKEN})
    return await sessions.renew_session(session, actor, user.id, client)


async def revert_email_change(session: AsyncSession, secret: str) -> str:
    """Consume the link mailed to the previous address, and give the account that address back.

    Works before and after the change has taken effect. The password is removed and all credentials
    of the user end. Returns the secret of a link that sets a new password. Raises `LinkExpired` or
    `EmailTaken`.
    """
    link, user = await links.use_link(session, secret, Purpose.OBJECT)
    await _set_email(session, user, link)
    user.password_hash = None
    await service.revoke_credentials(session, user.id)
    return links.new_link(session, user, Purpose.RESET)


async def _set_email(session: AsyncSession, user: User, link: links.Link) -> None:
    if user.email != link.email:
        email = normalised(link.recipient)
        # An unconfirmed account never proved that the address is its own: it gives way.
        unproven = (User.email == email, User.confirmed.is_(False), User.id != user.id)
        await session.execute(delete(User).where(*unproven))
        user.email = email
    user.confirmed = True
    try:
        await session.flush()
    except IntegrityError:
        raise service.EmailTaken from None
