"""Registering, and confirming that an address is one's own."""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app import mail
from app.accounts import emails, links, service
from app.accounts.identity import Client, Identity
from app.accounts.models import Purpose, User
from app.accounts.schemas import Registration
from app.config import settings
from app.database import db
from app.errors import TooMany
from app.jobs.current import current
from app.jobs.queue import enqueue
from app.security.limits import limits, one_peer
from app.security.passwords import passwords


async def admit(person: Registration, client: Client) -> str:
    """Check whether somebody may register with this password, and return its hash.

    Comes before the transaction, since it takes its time. Raises `WeakPassword`, `TooMany` or `Busy`.
    """
    password = person.password.get_secret_value()
    await passwords.demand_good(password, [person.email, person.first_name, person.last_name, settings.APP_NAME])
    await limits.hit("register", settings.REGISTRATION_LIMIT, one_peer(client.address))
    return await passwords.hash(password)


async def register_user(session: AsyncSession, person: Registration, password_hash: str) -> None:
    """Create an account that waits for its confirmation.

    For an address that has one nothing changes, and its owner is told by mail: whoever registers learns nothing.
    """
    job = "accounts.send_confirmation"
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
        job = "accounts.send_already_registered" if user.confirmed else job
    await _enqueue_once(session, job, user.id)


async def send_again(session: AsyncSession, actor: Identity) -> None:
    """Mail the confirmation's link once more. The edge has counted it: see `admit_sending_again`."""
    await _enqueue_once(session, "accounts.send_confirmation", actor.user_id)


async def admit_sending_again(actor: Identity) -> None:
    """Raise `TooMany` for somebody who asks for the link too often."""
    await limits.hit("confirmation", settings.CONFIRMATION_LIMIT, actor.user_id)


async def confirm(session: AsyncSession, secret: str) -> int:
    """Use a mailed link: the address it was mailed to is confirmed. Returns whose it is. Raises `LinkExpired`."""
    link = await links.use_link(session, secret, Purpose.CONFIRM)
    owner = update(User).where(User.id == link.user_id, User.email == link.email).values(confirmed=True)
    if (await session.execute(owner.returning(User.id))).first() is None:
        raise links.LinkExpired  # the account has another address by now
    return link.user_id


async def send_confirmation(user_id: int) -> None:
    """Mail the link that confirms an address, unless that has happened meanwhile."""
    if not await _may_mail(user_id):
        return
    async with db.transaction() as session:
        user = await session.get(User, user_id)
        if user is None or user.confirmed:
            return
        secret = await links.new_link(session, user, Purpose.CONFIRM, settings.CONFIRM_LIFETIME)
    await mail.deliver(emails.confirmation(user, mail.link("accounts.confirm_account", token=secret)))


async def send_already_registered(user_id: int) -> None:
    """Tell the owner of an account that somebody wanted to register with its address."""
    if not await _may_mail(user_id):
        return
    async with db.session() as session:
        user = await session.get(User, user_id)
    if user is not None:
        await mail.deliver(emails.already_registered(user, mail.link("accounts.login")))


async def _enqueue_once(session: AsyncSession, job: str, user_id: int) -> None:
    await enqueue(session, job, unique=f"{job}:{user_id}", user_id=user_id)


async def _may_mail(user_id: int) -> bool:
    """Whether others may have an account mailed once more: nobody fills somebody's mailbox through us."""
    job = current.get()
    if job is None or job.attempt == 1:
        try:
            await limits.hit("mail", settings.ACCOUNT_MAIL_LIMIT, user_id)
        except TooMany:
            return False
    return True
