"""Sessions: logging in, being recognised, logging out."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.identity import ANONYMOUS, Client, Identity
from app.accounts.models import Credential, Permission, Purpose, Role, User
from app.config import DAY, DEFAULT_ADMIN_PASSWORD, settings
from app.database import db, utcnow
from app.errors import DomainError
from app.redis import redis
from app.security.limits import AWAY, limits, one_peer
from app.security.passwords import passwords
from app.security.tokens import digest, new_secret

KNOWN = 30 * DAY  # how long an address counts as one that somebody logs in from


class WrongCredentials(DomainError):
    """No account has this address and password. It is never said which of the two is wrong."""

    code = "wrong-credentials"

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is wrong.")


@dataclass(frozen=True, slots=True)
class Verified:
    """An account whose password was shown, and the hash that it was checked against."""

    user_id: int
    password_hash: str


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that has begun; its secret exists here and with the person, nowhere else."""

    secret: str = field(repr=False)
    expires_at: datetime
    remember: bool


async def authenticate(email: str, password: str, client: Client) -> Verified:
    """Check an address and a password, within the limits of trying.

    Opens a short session of its own, since hashing must not happen inside a transaction. Raises `WrongCredentials`,
    `TooMany` or `Busy`. Attempts are counted before they are checked, so that parallel ones cannot slip through.
    """
    with passwords.admission():
        return await _authenticate(email, password, client)


async def _authenticate(email: str, password: str, client: Client) -> Verified:
    # A digest stands for the address, so that Redis holds nobody's.
    account, peer = digest(email).hex()[:32], one_peer(client.address)
    await limits.hit("login", settings.LOGIN_LIMIT_ADDRESS, peer)
    await limits.hit("login", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, account, peer)
    # Whoever logged in from here before is not locked out by what others try elsewhere.
    if not await _is_known(account, peer):
        await limits.demand_room("login", settings.LOGIN_LIMIT_ACCOUNT, account)
    async with db.session() as session:
        query = select(User.id, User.password_hash).where(User.email == email, User.disabled_at.is_(None))
        user = (await session.execute(query)).one_or_none()
    right = await passwords.verify(user.password_hash if user else None, password)
    if password == DEFAULT_ADMIN_PASSWORD and not client.local:
        right = False  # everybody knows it
    if not right or user is None or user.password_hash is None:
        await limits.hit("login", settings.LOGIN_LIMIT_ACCOUNT, account)
        raise WrongCredentials
    await limits.clear("login", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, account, peer)
    await _remember(account, peer)
    return Verified(user.id, user.password_hash)


async def _is_known(account: str, peer: str) -> bool:
    try:
        return limits.is_shared and bool(await redis.exists(f"known:{account}:{peer}"))
    except AWAY:
        return False


async def _remember(account: str, peer: str) -> None:
    if limits.is_shared:
        with suppress(*AWAY):
            await redis.set(f"known:{account}:{peer}", b"", ex=KNOWN)


async def start_session(
    session: AsyncSession, verified: Verified, client: Client, *, remember: bool, replaces: str | None = None
) -> NewSession:
    """Begin a session for somebody who has just shown their password.

    `replaces` is the secret of a session that this browser had before; it ends. Raises `WrongCredentials` if the
    account was disabled or got another password since it was checked.
    """
    query = select(User.id).where(
        User.id == verified.user_id, User.password_hash == verified.password_hash, User.disabled_at.is_(None)
    )
    if (await session.execute(query.with_for_update())).one_or_none() is None:
        raise WrongCredentials
    if replaces:
        await end_session(session, replaces)
    secret, now = new_secret(), utcnow()
    credential = Credential(
        purpose=Purpose.SESSION,
        digest=digest(secret),
        user_id=verified.user_id,
        remember=remember,
        address=client.address,
        user_agent=client.user_agent[:255],
        created_at=now,
        last_used_at=now,
        expires_at=now + idle_time(remember),
    )
    session.add(credential)
    return NewSession(secret, credential.expires_at, remember)


async def end_session(session: AsyncSession, secret: str) -> None:
    """Log out: the session that this secret proves ends at once, everywhere."""
    await session.execute(
        delete(Credential).where(Credential.digest == digest(secret), Credential.purpose == Purpose.SESSION)
    )


def idle_time(remember: bool) -> timedelta:
    """How long a session lives without a request."""
    return timedelta(seconds=settings.SESSION_IDLE_REMEMBERED if remember else settings.SESSION_IDLE)


users, roles, credentials = User.__table__, Role.__table__, Credential.__table__


async def identify(secret: str, purposes: tuple[Purpose, ...]) -> Identity:
    """Whoever a secret stands for, or `ANONYMOUS`: one query, the hot path of every request."""
    query = (
        select(
            users.c.id.label("user_id"),
            users.c.email,
            users.c.first_name,
            users.c.last_name,
            users.c.confirmed,
            users.c.created_at,
            roles.c.name.label("role_name"),
            roles.c.index.label("role_index"),
            roles.c.permissions,
            credentials.c.id.label("credential_id"),
            credentials.c.last_used_at,
            credentials.c.remember,
        )
        .join_from(credentials, users, credentials.c.user_id == users.c.id)
        .join(roles, users.c.role_id == roles.c.id)
        .where(
            credentials.c.digest == digest(secret),
            credentials.c.purpose.in_(purposes),
            credentials.c.expires_at > utcnow(),
            users.c.disabled_at.is_(None),
        )
    )
    async with db.connect() as connection:
        row = (await connection.execute(query)).mappings().one_or_none()
    return Identity(**{**row, "permissions": Permission(row["permissions"])}) if row else ANONYMOUS


def wants_touch(identity: Identity) -> bool:
    """Whether it is time to note that a credential is in use."""
    return (
        identity.last_used_at is not None
        and (utcnow() - identity.last_used_at).total_seconds() > settings.SESSION_TOUCH
    )


async def touch(session: AsyncSession, identity: Identity) -> None:
    """Note that a session is in use, which lets it live on; of parallel requests one does it."""
    now = utcnow()
    await session.execute(
        update(Credential)
        # Not one that has been ended since it was recognised: that would bring it back to life.
        .where(
            Credential.id == identity.credential_id,
            Credential.last_used_at == identity.last_used_at,
            Credential.expires_at > now,
        )
        .values(last_used_at=now, expires_at=now + idle_time(identity.remember))
    )


async def delete_expired(session: AsyncSession) -> int:
    """Delete credentials that are of no use any more; returns how many."""
    result = await session.execute(delete(Credential).where(Credential.expires_at < utcnow()).returning(Credential.id))
    return len(result.all())
