"""Changing the email address of an account.

The change is requested with the password, confirmed by a link mailed to the new address, and can
be reverted by a link mailed to the previous one.
"""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import acts, emails, links, service
from app.accounts.schemas import EmailChange
from app.auth import sessions
from app.auth.identity import Client, Identity
from app.auth.models import DEFAULT_ROLE_ID, Purpose, User
from app.auth.password_checks import WrongPassword, require_password, require_password_of
from app.config import settings
from app.database import db
from app.errors import DomainError
from app.limits import limits
from app.trail import record
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
    verified = await require_password(actor, change.password.get_secret_value(), client)
    await limits.hit("change-email", settings.CONFIRMATION_LIMIT, actor.user_id)
    async with db.transaction() as session:
        user = await sessions.lock_user(session, actor, verified)
        if user is None:
            raise WrongPassword(field="password")
        await mail_links(session, user, change.email)
        # Not which: it may be somebody else's.
        record(session, acts.EMAIL_CHANGE_REQUESTED, user.subject)


async def mail_links(session: AsyncSession, user: User, email: str) -> None:
    """Mail a link to the new address, and one to revert the change to the present one.

    If the new address has an account, its owner is told instead. The user's row is locked.
    """
    await links.mail_link(session, user, Purpose.CHANGE_EMAIL, email)
    if user.confirmed:
        await links.mail_link(session, user, Purpose.OBJECT)


async def confirm(
    secret: str, password: str, actor: Identity, client: Client, *, replaces: Collection[str] = ()
) -> sessions.NewSession | None:
    """Consume the link mailed to the new address, which becomes the account's confirmed address.

    The link proves the mailbox. That the account is their own, people show by being signed in to it
    or by its password. All its sessions and links end; API tokens and links of objections do not.
    Returns a new session, which takes the place of `replaces`, or None to whoever is signed in by a
    token. Raises `LinkExpired`, `WrongPassword`, `TooMany`, `Busy`, or `EmailTaken` if the address
    got an account meanwhile.
    """
    async with db.session() as session:
        link = await links.read_link(session, secret, Purpose.CHANGE_EMAIL)
    verified = None
    if actor.user_id != link.user_id:
        if not password:
            raise WrongPassword("Type the password of the account.", field="password")
        guesser = ("change-email", str(link.user_id), link.email)
        verified = await require_password_of(link.user_id, password, client, guesser=guesser)
    async with db.transaction() as session:
        link, user = await links.use_link(session, secret, Purpose.CHANGE_EMAIL)
        is_theirs = (
            user.password_hash == verified.password_hash
            if verified
            else await sessions.is_valid(session, actor)
        )
        if not is_theirs:  # the password has changed meanwhile, or the session has ended
            raise WrongPassword("Type the password of the account.", field="password")
        before = user.email
        await _set_email(session, user, link)
        record(
            session,
            acts.EMAIL_CHANGED,
            user.subject,
            actor=user.subject,
            before={"email": before},
            after={"email": user.email},
        )
        await service.revoke_credentials(session, user.id, service.REVOCABLE - {Purpose.TOKEN})
        if verified is None:
            return await sessions.renew_session(session, actor, user.id, client)
        return await sessions.start_session(
            session, verified, client, remember=False, replaces=replaces
        )


async def revert_email_change(session: AsyncSession, secret: str) -> str:
    """Consume the link mailed to the previous address, and give the account that address back.

    Works before and after the change has taken effect. The password is removed and all credentials
    of the user end but earlier objections. Whoever loses an address by it is told by mail. Returns
    the secret of a link that sets a new password. Raises `LinkExpired` or `EmailTaken`.
    """
    link, user = await links.use_link(session, secret, Purpose.OBJECT)
    before = user.email
    if user.email != link.email and user.confirmed:
        await emails.tell_address_lost(session, user.address)
    try:
        await _set_email(session, user, link)
    except service.EmailTaken:
        raise service.EmailTaken(
            f"There is another account with {link.email} by now. If it is yours, delete it or "
            "change its address. Then open this link again."
        ) from None
    user.password_hash = None
    was, now = {"email": before}, {"email": user.email}
    record(session, acts.EMAIL_REVERTED, user.subject, before=was, after=now)
    await service.revoke_credentials(session, user.id, service.REVOCABLE | {Purpose.DEVICE})
    return links.new_link(session, Purpose.RESET, user.address, user_id=user.id)


async def _set_email(session: AsyncSession, user: User, link: links.Link) -> None:
    if user.email != link.email:
        email = normalised(link.recipient)
        # An unconfirmed account never proved that the address is its own: it gives way. One that is
        # disabled stays, or a change of address would undo that.
        unproven = (
            User.email == email,
            User.confirmed.is_(False),
            User.disabled_at.is_(None),
            User.id != user.id,
        )
        for former in (await session.execute(select(User.id).where(*unproven))).scalars().all():
            await service.remove_user(session, former)
        if not user.confirmed:
            # A role may have been given to the owner of the address that is left, who is unknown.
            user.role_id = (await session.execute(DEFAULT_ROLE_ID)).scalar_one()
        await service.end_confirmations(session, email)
        if user.confirmed:  # else those of the former address may be somebody else's
            await service.end_confirmations(session, user.email)
        user.email = email
    user.confirmed = True
    try:
        await session.flush()
    except IntegrityError:
        raise service.EmailTaken from None
