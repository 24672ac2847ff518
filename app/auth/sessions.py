"""Sessions: logging in, identifying the caller of a request, logging out."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth import acts, devices
from app.auth.identity import ANONYMOUS, Client, Identity
from app.auth.models import Credential, Permission, Purpose, Role, User
from app.auth.password_checks import Verified, WrongCredentials, authenticate, require_password
from app.auth.scopes import within
from app.auth.tokens import digest, new_secret
from app.config import settings
from app.database import db, utcnow
from app.errors import NotFound
from app.prepared import PreparedSelect
from app.trail import Subject, record

LIST_LIMIT = 100  # sessions or tokens in a list


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that has just begun. Its secret is stored nowhere: hand it to the client."""

    secret: str = field(repr=False)
    expires_at: datetime
    remember: bool


async def log_in(
    email: str, password: str, client: Client, *, remember: bool, replaces: Collection[str] = ()
) -> NewSession:
    """Check an email address and a password, and begin a session.

    `replaces` are the secrets of sessions that the client had before; they end. Raises
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
        record(session, acts.REAUTHENTICATED, actor.subject)


async def start_session(
    session: AsyncSession,
    verified: Verified,
    client: Client,
    *,
    remember: bool,
    replaces: Collection[str] = (),
    typed: bool = True,
) -> NewSession:
    """Begin a session for a user whose password has just been checked.

    Without `typed` it was not, and sensitive actions ask for it.

    The client becomes a known device. `replaces` are the secrets of sessions that it had before;
    they end. Raises `WrongCredentials` if the account was disabled or its password changed since
    the check.
    """
    query = select(User).where(
        User.id == verified.user_id,
        User.password_hash == verified.password_hash,
        User.disabled_at.is_(None),
    )
    user = (await session.execute(query.with_for_update())).scalar_one_or_none()
    if user is None:
        raise WrongCredentials
    for secret in replaces:
        await end_session(session, secret)
    await devices.remember(session, client.device, verified.user_id)
    authenticated_at = utcnow() if typed else None
    record(session, acts.LOGGED_IN, user.subject, actor=user.subject)
    return _begin(
        session, verified.user_id, client, remember=remember, authenticated_at=authenticated_at
    )


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


async def log_out(session: AsyncSession, actor: Identity, secrets: Iterable[str]) -> None:
    """End the sessions of these secrets; no process accepts them any more."""
    for secret in secrets:
        await end_session(session, secret)
    record(session, acts.LOGGED_OUT, actor.subject)


async def end_session(session: AsyncSession, secret: str) -> None:
    """End the session of this secret; no process accepts it any more."""
    await session.execute(
        delete(Credential).where(
            Credential.digest == digest(secret), Credential.purpose == Purpose.SESSION
        )
    )


async def lock_user(
    session: AsyncSession, actor: Identity, verified: Verified | None = None
) -> User | None:
    """Lock the user of a request, for an act that their password was just checked for, perhaps.

    Checking takes a while. Returns None if meanwhile the password was changed, the user disabled or
    deleted, or the session or token of the request ended.
    """
    user = await session.get(User, actor.user_id, with_for_update=True)
    is_changed = user and verified and user.password_hash != verified.password_hash
    if user is None or user.disabled_at or is_changed:
        return None
    return user if await is_valid(session, actor) else None


async def is_valid(session: AsyncSession, actor: Identity) -> bool:
    """Return whether the credential of a request is still valid, as of this transaction."""
    valid = select(Credential.id).where(
        Credential.id == actor.credential_id, Credential.expires_at > utcnow()
    )
    return (await session.execute(valid)).first() is not None


async def mark_reauthenticated(session: AsyncSession, actor: Identity) -> None:
    """Record that the password has just been checked in the actor's session; never of a token."""
    mine = (Credential.id == actor.credential_id, Credential.purpose == Purpose.SESSION)
    await session.execute(update(Credential).where(*mine).values(authenticated_at=utcnow()))


def recently_authenticated(actor: Identity) -> bool:
    """Return whether the password was checked within the last REAUTHENTICATE_AFTER seconds."""
    checked = actor.authenticated_at
    if checked is None:
        return False
    return (utcnow() - checked).total_seconds() < settings.REAUTHENTICATE_AFTER


async def list_credentials(
    session: AsyncSession, user_id: int, *purposes: Purpose
) -> Sequence[Credential]:
    """Return a user's valid sessions or tokens, most recently used first, at most 100."""
    query = (
        select(Credential)
        .where(*_of(user_id, *purposes))
        .order_by(Credential.last_used_at.desc())
        .limit(LIST_LIMIT)
    )
    return (await session.execute(query)).scalars().all()


async def end_credential(
    session: AsyncSession, owner: Subject, credential_id: UUID, *purposes: Purpose
) -> None:
    """End one of a user's sessions or tokens.

    Raises `NotFound` if there is none with this id, or it belongs to somebody else.
    """
    theirs = _of(int(owner.id), *purposes)
    statement = delete(Credential).where(*theirs, Credential.id == credential_id)
    ended = statement.returning(Credential.purpose, Credential.label)
    row = (await session.execute(ended)).one_or_none()
    if row is None:
        what = "token" if purposes == (Purpose.TOKEN,) else "session"
        raise NotFound(f"This {what} does not exist, or it has already ended.")
    act = acts.TOKEN_ENDED if row.purpose == Purpose.TOKEN else acts.SESSION_REVOKED
    record(session, act, owner, after={"id": str(credential_id)}, before={"name": row.label})


async def end_other_sessions(session: AsyncSession, actor: Identity, device: str) -> None:
    """End all of the actor's sessions except the current one, and what they know of other devices.

    `device` is the cookie of the present one.
    """
    others = delete(Credential).where(
        *_of(actor.user_id, Purpose.SESSION), Credential.id != actor.credential_id
    )
    await session.execute(others)
    await devices.forget_others(session, device, actor.user_id)
    record(session, acts.SESSIONS_REVOKED, actor.subject)


def _of(user_id: int, *purposes: Purpose) -> tuple[ColumnElement[bool], ...]:
    return (
        Credential.user_id == user_id,
        Credential.purpose.in_(purposes),
        Credential.expires_at > utcnow(),
    )


def _expiry(began: datetime, used: datetime, *, remember: bool) -> datetime:
    """Return when a session expires: after being idle, or at the end of its longest lifetime."""
    idle = settings.SESSION_IDLE_REMEMBERED if remember else settings.SESSION_IDLE
    return min(used + timedelta(seconds=idle), began + timedelta(seconds=settings.SESSION_LIFETIME))


users, roles, credentials = User.__table__, Role.__table__, Credential.__table__

IDENTIFY = PreparedSelect(
    select(
        users.c.id.label("user_id"),
        users.c.email,
        users.c.first_name,
        users.c.last_name,
        users.c.confirmed,
        users.c.must_change_password,
        users.c.created_at,
        roles.c.name.label("role_name"),
        roles.c.index.label("role_index"),
        roles.c.permissions,
        roles.c.grants,
        credentials.c.id.label("credential_id"),
        credentials.c.purpose,
        credentials.c.created_at.label("began_at"),
        credentials.c.last_used_at,
        credentials.c.authenticated_at,
        credentials.c.remember,
        credentials.c.scopes,
    )
    .join_from(credentials, users, credentials.c.user_id == users.c.id)
    .join(roles, users.c.role_id == roles.c.id)
    .where(
        credentials.c.digest == bindparam("digest"),
        credentials.c.expires_at > bindparam("now"),
        users.c.disabled_at.is_(None),
    )
)


async def identify(secret: str, purposes: tuple[Purpose, ...]) -> Identity:
    """Return whose credential a secret is, or `ANONYMOUS`.

    One query, since this is on the hot path of every request.
    """
    row = await IDENTIFY.first(db, digest=digest(secret), now=utcnow())
    if row is None or row["purpose"] not in purposes:
        return ANONYMOUS
    purpose, scopes = Purpose(row["purpose"]), frozenset((row["scopes"] or "").split())
    permissions = Permission(row["permissions"])
    typed = {
        "permissions": within(scopes, permissions) if purpose is Purpose.TOKEN else permissions,
        "grants": frozenset(row["grants"].split()),
        "purpose": purpose,
        "scopes": scopes,
    }
    return Identity(**{**row, **typed})


def wants_touch(identity: Identity) -> bool:
    """Return whether the last use of a credential is due to be recorded again.

    The first use of a token always is.
    """
    if identity.last_used_at is None:
        return False
    if identity.purpose is Purpose.TOKEN and identity.last_used_at == identity.began_at:
        return True
    return (utcnow() - identity.last_used_at).total_seconds() > settings.SESSION_TOUCH


async def touch(session: AsyncSession, identity: Identity, client: Client) -> None:
    """Record that a credential is in use: extend a session, or note from where a token is used.

    Of concurrent requests one does so.
    """
    now = utcnow()
    values: dict[str, Any] = {"last_used_at": now}
    if identity.purpose is Purpose.SESSION:
        values["expires_at"] = _expiry(identity.began_at or now, now, remember=identity.remember)
    else:
        values |= {"address": client.ip, "user_agent": client.user_agent[:255]}
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
