"""Setting up the account of an address anew, with a link that confirms it."""

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import links
from app.accounts.schemas import SetUp
from app.auth import sessions
from app.auth.hashing import passwords
from app.auth.identity import Client
from app.auth.models import Purpose, User
from app.auth.password_checks import Verified
from app.auth.sessions import NewSession
from app.config import settings
from app.database import db


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
        return await sessions.start_session(
            session, Verified(user.id, password_hash), client, remember=False, replaces=replaces
        )


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
