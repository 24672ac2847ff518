"""Sessions: logging in, being recognised, logging out."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.hashing import passwords
from app.auth.identity import ANONYMOUS, Client, Identity
from app.auth.models import Credential, Permission, Purpose, Role, User
from app.auth.tokens import digest, email_key, new_secret
from app.config import DAY, DEFAULT_ADMIN_PASSWORD, settings
from app.database import db, utcnow
from app.errors import DomainError, NotFound
from app.limits import limits, rate_limit_ip
from app.redis import REDIS_AWAY, redis

KNOWN = 30 * DAY  # how long an address counts as one that somebody logs in from
SHOWN = 100  # sessions in a list


class WrongCredentials(DomainError):
    """No account has this address and password. It is never said which of the two is wrong."""

    code = "wrong-credentials"
    status = 401
    message = "The e-mail address or the password is wrong."


class WrongPassword(DomainError):
    """Somebody who is signed in was asked for their password, and this is not it."""

    code = "wrong-password"
    status = 403
    message = "This is not your password."


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

    Opens a short session of its own, since hashing must not happen inside a transaction. Raises
    `WrongCredentials`, `TooMany` or `Busy`. Attempts are counted before they are checked, so that
    parallel ones cannot slip through.
    """
    with passwords.admission():
        account, peer = email_key(email), rate_limit_ip(client.address)
        await limits.hit("login", settings.LOGIN_LIMIT_ADDRESS, peer)
        await limits.hit("login", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, account, peer)
        # Whoever logged in from here before is not locked out by what others try elsewhere.
        if not await _is_known(account, peer):
            await limits.require_room("login", settings.LOGIN_LIMIT_ACCOUNT, account)
        query = select(User.id, User.password_hash).where(
            User.email == email, User.disabled_at.is_(None)
        )
        async with db.session() as session:
            user = (await session.execute(query)).one_or_none()
        right = await passwords.verify(user.password_hash if user else None, password)
        if right and user and passwords.is_outdated(user.password_hash):
            renewed = await passwords.hash(password)
            async with db.transaction() as session:
                same = (User.id == user.id, User.password_hash == user.password_hash)
                await session.execute(update(User).where(*same).values(password_hash=renewed))
                # A log-in at the same moment may have been faster, and so may a change of the
                # password.
                user = (await session.execute(query)).one_or_none()
            if user and user.password_hash != renewed:
                right = await passwords.verify(user.password_hash, password)
        if password == DEFAULT_ADMIN_PASSWORD and not client.local:
            right = False  # everybody knows it
        if not right or user is None or user.password_hash is None:
            await limits.hit("login", settings.LOGIN_LIMIT_ACCOUNT, account)
            raise WrongCredentials
        await forget_failures(email, client)
        await _remember(account, peer)
        return Verified(user.id, user.password_hash)


async def require_password(
    actor: Identity, password: str, client: Client, field: str = "password"
) -> Verified:
    """The same for somebody who is signed in already. Raises `WrongPassword`, about a field."""
    try:
        verified = await authenticate(actor.email, password, client)
    except WrongCredentials:
        raise WrongPassword(field=field) from None
    if verified.user_id != actor.user_id:  # somebody else has got that address meanwhile
        raise WrongPassword(field=field)
    return verified


async def forget_failures(email: str, client: Client) -> None:
    """Let somebody log in at this address again, however often they failed."""
    await limits.clear(
        "login",
        settings.LOGIN_LIMIT_ACCOUNT_ADDRESS,
        email_key(email),
        rate_limit_ip(client.address),
    )


async def _is_known(account: str, peer: str) -> bool:
    try:
        return limits.is_shared and bool(await redis.exists(f"known:{account}:{peer}"))
    except REDIS_AWAY:
        return False


async def _remember(account: str, peer: str) -> None:
    if limits.is_shared:
        with suppress(*REDIS_AWAY):
            await redis.set(f"known:{account}:{peer}", b"", ex=KNOWN)


async def start_session(
    session: AsyncSession,
    verified: Verified,
    client: Client,
    *,
    remember: bool,
    replaces: str | None = None,
) -> NewSession:
    """Begin a session for somebody who has just shown their password.

    `replaces` is the secret of a session that this browser had before; it ends. Raises
    `WrongCredentials` if the account was disabled or got another password since it was checked.
    """
    query = select(User.id).where(
        User.id == verified.user_id,
        User.password_hash == verified.password_hash,
        User.disabled_at.is_(None),
    )
    if (await session.execute(query.with_for_update())).one_or_none() is None:
        raise WrongCredentials
    if replaces:
        await end_session(session, replaces)
    return _begin(session, verified.user_id, client, remember=remember, authenticated_at=utcnow())


async def renew_session(
    session: AsyncSession, actor: Identity, user_id: int, client: Client
) -> NewSession | None:
    """Begin a session in place of the actor's own, which has ended with all others of this user.

    If it is theirs.

    Not in place of one that was ended by hand since it was recognised.
    """
    mine = await session.get(Credential, actor.credential_id) if actor.user_id == user_id else None
    if mine is None or actor.purpose is not Purpose.SESSION:
        return None
    return _begin(
        session,
        actor.user_id,
        client,
        remember=actor.remember,
        authenticated_at=actor.authenticated_at,
    )


def _begin(
    session: AsyncSession,
    user_id: int,
    client: Client,
    *,
    remember: bool,
    authenticated_at: datetime | None,
) -> NewSession:
    secret, now = new_secret(), utcnow()
    credential = Credential(
        purpose=Purpose.SESSION,
        digest=digest(secret),
        user_id=user_id,
        remember=remember,
        address=client.address,
        user_agent=client.user_agent[:255],
        created_at=now,
        last_used_at=now,
        authenticated_at=authenticated_at,
        expires_at=_expiry(now, now, remember=remember),
    )
    session.add(credential)
    return NewSession(secret, credential.expires_at, remember)


async def end_session(session: AsyncSession, secret: str) -> None:
    """Log out: the session that this secret proves ends at once, everywhere."""
    await session.execute(
        delete(Credential).where(
            Credential.digest == digest(secret), Credential.purpose == Purpose.SESSION
        )
    )


async def mark_reauthenticated(session: AsyncSession, actor: Identity) -> None:
    """Note that the password has just been shown in this session.

    What is sensitive is open for a while.
    """
    mine = Credential.id == actor.credential_id
    await session.execute(update(Credential).where(mine).values(authenticated_at=utcnow()))


def recently_authenticated(actor: Identity) -> bool:
    """Whether the password was shown in this session not long ago."""
    shown = actor.authenticated_at
    return shown is not None and (utcnow() - shown).total_seconds() < settings.REAUTHENTICATE_AFTER


async def list_credentials(
    session: AsyncSession, actor: Identity, purpose: Purpose
) -> Sequence[Credential]:
    """One's own sessions or tokens that are alive, those used last first; at most 100."""
    query = (
        select(Credential)
        .where(*_own(actor, purpose))
        .order_by(Credential.last_used_at.desc())
        .limit(SHOWN)
    )
    return (await session.execute(query)).scalars().all()


async def end_credential(
    session: AsyncSession, actor: Identity, purpose: Purpose, credential_id: UUID
) -> None:
    """End a session or a token of one's own. Raises `NotFound`."""
    statement = delete(Credential).where(*_own(actor, purpose), Credential.id == credential_id)
    if (await session.execute(statement.returning(Credential.id))).one_or_none() is None:
        raise NotFound("There is no such session, or it has ended already.")


async def end_other_sessions(session: AsyncSession, actor: Identity) -> None:
    """End every session of one's own but this one."""
    others = delete(Credential).where(
        *_own(actor, Purpose.SESSION), Credential.id != actor.credential_id
    )
    await session.execute(others)


def _own(actor: Identity, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return (
        Credential.user_id == actor.user_id,
        Credential.purpose == purpose,
        Credential.expires_at > utcnow(),
    )


def _expiry(began: datetime, used: datetime, *, remember: bool) -> datetime:
    """When a session ends: some time without a request, or in the end however much it is used."""
    idle = settings.SESSION_IDLE_REMEMBERED if remember else settings.SESSION_IDLE
    return min(used + timedelta(seconds=idle), began + timedelta(seconds=settings.SESSION_LIFETIME))


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
            credentials.c.purpose,
            credentials.c.created_at.label("began_at"),
            credentials.c.last_used_at,
            credentials.c.authenticated_at,
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
    if row is None:
        return ANONYMOUS
    return Identity(
        **{**row, "permissions": Permission(row["permissions"]), "purpose": Purpose(row["purpose"])}
    )


def wants_touch(identity: Identity) -> bool:
    """Whether it is time to note that a credential is in use."""
    return (
        identity.last_used_at is not None
        and (utcnow() - identity.last_used_at).total_seconds() > settings.SESSION_TOUCH
    )


async def touch(session: AsyncSession, identity: Identity) -> None:
    """Note that a session is in use, which lets it live on; of parallel requests one does it."""
    now = utcnow()
    values = {"last_used_at": now}
    if identity.purpose is Purpose.SESSION:
        values["expires_at"] = _expiry(identity.began_at or now, now, remember=identity.remember)
    await session.execute(
        update(Credential)
        # Not one that has been ended since it was recognised: that would bring it back to life.
        .where(
            Credential.id == identity.credential_id,
            Credential.last_used_at == identity.last_used_at,
            Credential.expires_at > now,
        )
        .values(values)
    )


async def delete_expired(session: AsyncSession) -> int:
    """Delete credentials that are of no use any more; returns how many."""
    result = await session.execute(
        delete(Credential).where(Credential.expires_at < utcnow()).returning(Credential.id)
    )
    return len(result.all())
