"""Whether whoever asked may still act, as of the transaction in which they do.

A request is identified when its head arrives, and its body may come a minute later.
"""

from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.identity import Identity
from app.auth.models import Permission, Purpose, Role, User
from app.auth.scopes import within
from app.auth.sessions import lock_user
from app.errors import DomainError

NOTHING = Permission(0)


class NoLongerSignedIn(DomainError):
    """The session or token has ended, or the user was disabled, since the request began."""

    code = "not-signed-in"
    status = 401
    message = "Your session has just ended, so this was not done. Log in again."


class NoLongerAllowed(DomainError):
    """The permission was taken away since the request began."""

    code = "forbidden"
    status = 403
    message = "Your role no longer allows this, so it was not done."


async def lock_actor(
    session: AsyncSession, actor: Identity, permission: Permission | str = NOTHING
) -> User:
    """Lock the row of whoever acts, and return it. Call it before anything else is locked.

    Whoever disables them or ends their session waits until this transaction has ended. Raises
    `NoLongerSignedIn` or `NoLongerAllowed`.
    """
    user = await lock_user(session, actor)
    if user is None:
        raise NoLongerSignedIn
    role = await session.get_one(Role, user.role_id)
    permissions = Permission(role.permissions)
    if actor.purpose is Purpose.TOKEN:
        permissions = within(actor.scopes, permissions)
    now = Identity(permissions=permissions, grants=frozenset(role.grants.split()))
    if not now.can(permission):
        raise NoLongerAllowed
    return user
