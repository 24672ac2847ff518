"""API tokens: what people make for their programs, and end.

A token is made and ended in a session, never by a token: whoever finds one can do no more with it
than it says, and not for longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import notices
from app.accounts.token_schemas import TokenIn
from app.auth import acts, sessions
from app.auth.identity import Identity
from app.auth.models import Credential, Purpose
from app.auth.scopes import Scope, require_session
from app.auth.tokens import digest, new_api_token
from app.database import utcnow
from app.errors import DomainError
from app.trail import record

MOST_TOKENS = 50  # of one user, at a time


class TooManyTokens(DomainError):
    """The user has as many tokens as one may have."""

    code = "too-many-tokens"
    message = f"You have {MOST_TOKENS} tokens already. End one that you no longer need first."


class ScopeNotAllowed(DomainError):
    """The scope is for administrators."""

    code = "scope-not-allowed"
    status = 422
    message, field = "Your role does not administer, so your tokens cannot either.", "scopes"


class AlreadyMade(DomainError):
    """The form was posted a second time, by reloading its answer."""

    code = "already-made"
    message = (
        "This token has been made already, and its secret is shown only once. If you have not "
        "copied it, end the token and make another one."
    )


class SessionEnded(DomainError):
    """The session has ended since the request was identified."""

    code = "not-signed-in"
    status = 401
    message = "Your session has just ended, so no token was made. Log in again."


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that has just been made. Its secret is stored nowhere: show it, once."""

    row: Credential
    secret: str = field(repr=False)


async def list_tokens(session: AsyncSession, actor: Identity) -> Sequence[Credential]:
    """Return the actor's valid tokens, most recently used or made first."""
    return await sessions.list_credentials(session, actor.user_id, Purpose.TOKEN)


async def make_token(
    session: AsyncSession, actor: Identity, wanted: TokenIn, *, token_id: UUID | None = None
) -> NewToken:
    """Make a token for the actor, who is told by mail.

    Pass a `token_id` to make one token however often this is called: later calls raise
    `AlreadyMade`. Raises `ScopeNotAllowed`, `TooManyTokens`, `SessionRequired` for a token,
    and `SessionEnded` if the session has ended or the user was disabled meanwhile.
    """
    require_session(actor)
    if Scope.ADMINISTER in wanted.scopes and not actor.is_admin:
        raise ScopeNotAllowed
    user = await sessions.lock_user(session, actor)  # of concurrent calls each counts the others
    if user is None:
        raise SessionEnded
    token_id = token_id or uuid4()
    if await session.get(Credential, token_id):
        raise AlreadyMade
    if await _count_tokens(session, actor) >= MOST_TOKENS:
        raise TooManyTokens
    secret, now = new_api_token(), utcnow()
    scopes = " ".join(scope for scope in Scope if scope in wanted.scopes)
    token = Credential(
        id=token_id,
        purpose=Purpose.TOKEN,
        digest=digest(secret),
        user_id=user.id,
        label=wanted.name,
        scopes=scopes,
        created_at=now,
        last_used_at=now,  # equal to created_at, which means never: see `used_at`
        expires_at=now + timedelta(days=wanted.expires_in_days),
    )
    session.add(token)
    made = {"id": str(token.id), "name": token.label, "scopes": scopes}
    record(session, acts.TOKEN_MADE, user.subject, after=made)
    await notices.tell_token_made(session, user, token)
    return NewToken(token, secret)


async def _count_tokens(session: AsyncSession, actor: Identity) -> int:
    valid = select(func.count(Credential.id)).where(
        Credential.user_id == actor.user_id,
        Credential.purpose == Purpose.TOKEN,
        Credential.expires_at > utcnow(),
    )
    return (await session.execute(valid)).scalar_one()


async def end_token(session: AsyncSession, actor: Identity, token_id: UUID) -> None:
    """End one of the actor's tokens; no process accepts it any more.

    Raises `NotFound`, and `SessionRequired` for a token.
    """
    require_session(actor)
    await sessions.end_credential(session, actor.subject, token_id, Purpose.TOKEN)
