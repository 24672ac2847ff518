"""Sessions: logging in, identifying the caller of a request, logging out."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.hashing import Match, normal_password, passwords
from app.auth.identity import ANONYMOUS, Client, Identity
from app.auth.models import Credential, Permission, Purpose, Role, User, with_email
from app.auth.tokens import digest, email_key, new_secret
from app.away import REDIS_AWAY
from app.config import DAY, DEFAULT_ADMIN_PASSWORD, settings
from app.database import db, utcnow
from app.errors import DomainError, NotFound
from app.limits import UNKNOWN_IP, limits, rate_limit_ip
from app.redis import redis

KNOWN_IP_SECONDS = 30 * DAY  # how long an ip counts as one that the user logs in from
LIST_LIMIT = 100  # sessions or tokens in a list


class WrongCredentials(DomainError):
    """No account has this email address and password. Never says which of the two is wrong."""

    code = "wrong-credentials"
    status = 401
    message = "The email address or the password is wrong."


class WrongPassword(DomainError):
    """A signed-in user was asked for their password and gave another one."""

    code = "wrong-password"
    status = 403
    message = "This is not your password."


@dataclass(frozen=True, slots=True)
class Verified:
    """A user whose password was checked, and the hash that it was checked against."""

    user_id: int
    password_hash: str


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that has just begun. Its secret is stored nowhere: hand it to the client."""

    secret: str = field(repr=False)
    expires_at: datetime
    remember: bool


async def log_in(
    email: str, password: str, client: Client, *, remember: bool, replaces: str | None = None
) -> NewSession:
    """Check an email address and a password, and begin a session.

    `replaces` is the secret of a session that the client had before; it ends. Raises
    `WrongCredentials`, `TooMany` or `Busy`.
    """
    verified = await authenticate(email, password, client)
    async with db.transaction() as session:
        return await start_session(session, verified, client, remember=remember, replaces=replaces)


async def reauthenticate(actor: Identity, password: str, client: Client) -> None:
    """Check the actor's password once more, which opens `@reauthenticated` routes for a while.

    Raises `WrongPassword`, `TooMany` or `Busy`.
    """
    await require_password(actor, password, client)
    async with db.transaction() as session:
        await mark_reauthenticated(session, actor)


async def authenticate(email: str, password: str, client: Client) -> Verified:
    """Check an email address, in any spelling, and a password, within the limits of log-ins.

    Opens short sessions of its own, since hashing must not happen inside a transaction. Attempts
    are counted before they are checked, so that parallel ones cannot slip through. Raises
    `WrongCredentials`, `TooMany` or `Busy`.
    """
    with passwords.queue_slot():
        account, ip = email_key(email), rate_limit_ip(client.ip)
        await limits.hit("login", settings.LOGIN_LIMIT_ADDRESS, ip, shared="log-ins")
        await limits.hit("login", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, account, ip)
        # Failures from elsewhere do not lock out whoever has logged in from this ip before.
        if not await _is_known_ip(account, ip):
            await limits.require_room("login", settings.LOGIN_LIMIT_ACCOUNT, account)
        enabled = select(User.id, User.password_hash).where(User.disabled_at.is_(None))
        query = with_email(enabled, email)
        async with db.session() as session:
            user = (await session.execute(query)).one_or_none()
        right = await passwords.verify(user.password_hash if user else None, password)
        if right is Match.OUTDATED and user:
            renewed = await passwords.hash(password)
            async with db.transaction() as session:
                same = (User.id == user.id, User.password_hash == user.password_hash)
                await session.execute(update(User).where(*same).values(password_hash=renewed))
                # A concurrent log-in or change of password may have been faster.
                user = (await session.execute(query)).one_or_none()
            if user and user.password_hash != renewed:
                right = await passwords.verify(user.password_hash, password)
        if normal_password(password) == DEFAULT_ADMIN_PASSWORD and not client.local:
            right = Match.NO  # everybody knows it
        if not right or user is None or user.password_hash is None:
            await limits.hit("login", settings.LOGIN_LIMIT_ACCOUNT, account)
            raise WrongCredentials
        await forget_failures(email, client)
        await _remember_ip(account, ip)
        return Verified(user.id, user.password_hash)


async def require_password(
    actor: Identity, password: str, client: Client, field: str = "password"
) -> Verified:
    """Check the password of a user who is signed in.

    Raises `WrongPassword` for this field of the form, `TooMany` or `Busy`.
    """
    try:
        verified = await authenticate(actor.email, password, client)
    except WrongCredentials:
        raise WrongPassword(field=field) from None
    if verified.user_id != actor.user_id:  # another account has that address now
        raise WrongPassword(field=field)
    return verified


async def forget_failures(email: str, client: Client) -> None:
    """Reset the count of failed log-ins to this account from this ip."""
    await limits.clear(
        "login",
        settings.LOGIN_LIMIT_ACCOUNT_ADDRESS,
        email_key(email),
        rate_limit_ip(client.ip),
    )


async def _is_known_ip(account: str, ip: str) -> bool:
    try:
        return (
            ip != UNKNOWN_IP
            and limits.is_shared
            and bool(await redis.exists(_known_ip_key(account, ip)))
        )
    except REDIS_AWAY:
        return False


async def _remember_ip(account: str, ip: str) -> None:
    if ip != UNKNOWN_IP and limits.is_shared:
        with suppress(*REDIS_AWAY):
            await redis.set(_known_ip_key(account, ip), b"", ex=KNOWN_IP_SECONDS)


def _known_ip_key(account: str, ip: str) -> str:
    return settings.redis_key(f"known:{account}:{ip}")


async def start_session(
    session: AsyncSession,
    verified: Verified,
    client: Client,
    *,
    remember: bool,
    replaces: str | None = None,
) -> NewSession:
    """Begin a session for a user whose password has just been checked.

    `replaces` is the secret of a session that the client had before; it ends. Raises
    `WrongCredentials` if the account was disabled or its password changed since the check.
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
    """Begin a session to replace the actor's own, which ended with all others of this user.

    Returns None if the actor is not this user, does not use a session, or has ended it since the
    request was identified.
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
        address=client.ip,
        user_agent=client.user_agent[:255],
        created_at=now,
        last_used_at=now,
        authenticated_at=authenticated_at,
        expires_at=_expiry(now, now, remember=remember),
    )
    session.add(credential)
    return NewSession(secret, credential.expires_at, remember)


async def log_out(session: AsyncSession, secrets: Iterable[str]) -> None:
    """End the sessions of these secrets; no process accepts them any more."""
    for secret in secrets:
        await end_session(session, secret)


async def end_session(session: AsyncSession, secret: str) -> None:
    """End the session of this secret; no process accepts it any more."""
    await session.execute(
        delete(Credential).where(
            Credential.digest == digest(secret), Credential.purpose == Purpose.SESSION
        )
    )


async def mark_reauthenticated(session: AsyncSession, actor: Identity) -> None:
    """Record that the password has just been checked in the actor's session."""
    mine = Credential.id == actor.credential_id
    await session.execute(update(Credential).where(mine).values(authenticated_at=utcnow()))


def recently_authenticated(actor: Identity) -> bool:
    """Return whether the password was checked within the last REAUTHENTICATE_AFTER seconds."""
    checked = actor.authenticated_at
    if checked is None:
        return False
    return (utcnow() - checked).total_seconds() < settings.REAUTHENTICATE_AFTER


async def list_credentials(
    session: AsyncSession, actor: Identity, purpose: Purpose
) -> Sequence[Credential]:
    """Return the actor's valid sessions or tokens, most recently used first, at most 100."""
    query = (
        select(Credential)
        .where(*_own(actor, purpose))
        .order_by(Credential.last_used_at.desc())
        .limit(LIST_LIMIT)
    )
    return (await session.execute(query)).scalars().all()


async def end_credential(
    session: AsyncSession, actor: Identity, purpose: Purpose, credential_id: UUID
) -> None:
    """End one of the actor's sessions or tokens.

    Raises `NotFound` if there is none with this id, or it belongs to somebody else.
    """
    statement = delete(Credential).where(*_own(actor, purpose), Credential.id == credential_id)
    if (await session.execute(statement.returning(Credential.id))).one_or_none() is None:
        raise NotFound("This session does not exist, or it has already ended.")


async def end_other_sessions(session: AsyncSession, actor: Identity) -> None:
    """End all of the actor's sessions except the current one."""
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
    """Return when a session expires: after being idle, or at the end of its longest lifetime."""
    idle = settings.SESSION_IDLE_REMEMBERED if remember else settings.SESSION_IDLE
    return min(used + timedelta(seconds=idle), began + timedelta(seconds=settings.SESSION_LIFETIME))


users, roles, credentials = User.__table__, Role.__table__, Credential.__table__


async def identify(secret: str, purposes: tuple[Purpose, ...]) -> Identity:
    """Return whose credential a secret is, or `ANONYMOUS`.

    One query, since this is on the hot path of every request.
    """
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
    """Return whether the last use of a credential is due to be recorded again."""
    return (
        identity.last_used_at is not None
        and (utcnow() - identity.last_used_at).total_seconds() > settings.SESSION_TOUCH
    )


async def touch(session: AsyncSession, identity: Identity) -> None:
    """Record that a credential is in use, and extend a session.

    Of concurrent requests one does so.
    """
    now = utcnow()
    values = {"last_used_at": now}
    if identity.purpose is Purpose.SESSION:
        values["expires_at"] = _expiry(identity.began_at or now, now, remember=identity.remember)
    await session.execute(
        update(Credential)
        # A session that has ended since it was identified must not be extended again.
        .where(
            Credential.id == identity.credential_id,
            Credential.last_used_at == identity.last_used_at,
            Credential.expires_at > now,
        )
        .values(values)
    )


async def delete_expired(session: AsyncSession) -> int:
    """Delete expired credentials, and return how many there were."""
    result = await session.execute(
        delete(Credential).where(Credential.expires_at < utcnow()).returning(Credential.id)
    )
    return len(result.all())
