"""Roles: what their members may do, and where they land after logging in."""

from collections.abc import Collection, Sequence

from sqlalchemy import Select, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import acts
from app.accounts.people_schemas import RoleIn, RoleOut, administers
from app.auth.identity import Identity
from app.auth.models import Permission, Role, User
from app.auth.permissions import PERMISSIONS
from app.auth.sessions import is_valid
from app.counting import Count, count
from app.errors import DomainError, NotFound
from app.preconditions import ANY, IfMatch
from app.trail import Subject, record
from app.validators.folding import folded

USER, ADMINISTRATOR = "user", "administrator"
MAX_ROLES = 100

# key → initial name, permissions, landing page
ROLES = {
    USER: ("User", Permission.GENERAL, "main"),
    ADMINISTRATOR: ("Administrator", Permission.ADMINISTER, "admin"),
}


class RoleInUse(DomainError):
    """People have this role."""

    code = "role-in-use"
    message = "People have this role, so it was not deleted. Give them another one first."


class RoleNeeded(DomainError):
    """The application could not work without this role, or without these permissions of it."""

    code = "role-needed"


class DefaultAdministers(DomainError):
    """Whoever registers would be an administrator."""

    code = "default-administers"
    status = 422
    message = "Anybody can register, so the role of new accounts cannot be an administrator's."
    field = "administers"


class TooManyRoles(DomainError):
    """There are as many roles as lists of people are filtered by."""

    code = "too-many-roles"
    message = f"There are {MAX_ROLES} roles already. Delete one that nobody has first."


class NameTaken(DomainError):
    """Another role has this name."""

    code = "name-taken"
    message, field = "Another role has this name.", "name"


class NotAnAdministrator(DomainError):
    """The actor has lost the permission, or the session, since the request was identified."""

    code = "forbidden"
    status = 403
    message = "You are no longer an administrator, so this was not done."


class UnknownPermission(DomainError):
    """No feature declares a permission of this name."""

    code = "unknown-permission"
    status = 422
    field = "grants"


class UnknownLandingPage(DomainError):
    """No feature has such a landing page."""

    code = "unknown-landing-page"
    status = 422
    message, field = "There is no such landing page.", "index"


class UnknownRole(DomainError):
    """There is no such role."""

    code = "unknown-role"
    status = 422
    message, field = "There is no such role.", "role"


async def insert_roles(session: AsyncSession) -> None:
    """Insert those of `ROLES` that are missing. Idempotent: what administrators changed stays."""
    found = (await session.execute(select(Role))).scalars().all()
    has_default = any(role.default for role in found)
    for key, (name, permissions, index) in ROLES.items():
        if any(role.key == key for role in found):
            continue
        # A database that is older than keys has it under its name.
        role = next((each for each in found if each.name == name and not each.key), None)
        is_new = role is None
        role = role or Role(name=name, default=False)
        role.key, role.permissions, role.index = key, permissions, index
        if key == USER and not has_default:
            role.default = True
        if is_new:
            session.add(role)
            await session.flush()
            record(session, acts.ROLE_CREATED, subject(role))
    await session.flush()  # callers look them up next


async def role_of(session: AsyncSession, key: str) -> Role:
    """Return a role of `ROLES`, whatever people have renamed it to."""
    return (await session.execute(select(Role).where(Role.key == key))).scalar_one()


async def role_named(session: AsyncSession, name: str) -> Role:
    """Return the role of this name. Raises `UnknownRole`."""
    role = (await session.execute(select(Role).where(Role.name == name))).scalar_one_or_none()
    if role is None:
        raise UnknownRole
    return role


async def get_role(session: AsyncSession, role_id: int, *, lock: bool = False) -> Role:
    """Return a role, with `lock` for update. Raises `NotFound`."""
    role = await session.get(Role, role_id, with_for_update=lock or None)
    if role is None:
        raise NotFound("This role does not exist.")
    return role


async def list_roles(session: AsyncSession) -> Sequence[Role]:
    """Return all roles by name: they are few."""
    return (await session.execute(select(Role).order_by(Role.name))).scalars().all()


async def count_members(session: AsyncSession, role: Role) -> Count:
    """Count the accounts that have a role."""
    return await count(session, select(literal(1)).where(User.role_id == role.id))


def administrators() -> Select[int]:
    """Select the ids of all administrators, the disabled ones included."""
    may = Role.permissions.op("&")(Permission.ADMINISTER) == Permission.ADMINISTER
    return select(User.id).join(Role, User.role_id == Role.id).where(may)


async def wait_turn(session: AsyncSession) -> None:
    """Wait until no other transaction is changing who administers, and keep others waiting.

    Locks the row of the role `administrator`, so that each sees what the one before has committed.
    Call it before anything else is read or locked.
    """
    lock = select(Role.id).where(Role.key == ADMINISTRATOR)
    await session.execute(lock.with_for_update(key_share=True))


async def take_turn(session: AsyncSession, actor: Identity) -> None:
    """Wait as `wait_turn` does, then require that the actor still is an administrator.

    Nobody can take the role from themselves, so whoever acts still administers afterwards: one
    administrator is always left. Raises `NotAnAdministrator`.
    """
    await wait_turn(session)
    still = administrators().where(User.id == actor.user_id, User.disabled_at.is_(None))
    if (await session.execute(still)).first() is None or not await is_valid(session, actor):
        raise NotAnAdministrator


async def create_role(
    session: AsyncSession, actor: Identity, data: RoleIn, pages: Collection[str]
) -> Role:
    """Create a role, which lands on one of the `pages`.

    Raises `NameTaken`, `UnknownPermission`, `UnknownLandingPage`, `DefaultAdministers` or
    `TooManyRoles`.
    """
    await take_turn(session, actor)
    if len(await list_roles(session)) >= MAX_ROLES:
        raise TooManyRoles
    role = Role(permissions=Permission.GENERAL, default=False, grants="")
    _apply(role, data, pages)
    await _store(session, role)
    await _keep_one_default(session, role)
    record(session, acts.ROLE_CREATED, subject(role), after=_values(role))
    return role


async def change_role(
    session: AsyncSession,
    actor: Identity,
    role_id: int,
    data: RoleIn,
    pages: Collection[str],
    expected: IfMatch = ANY,
) -> Role:
    """Change a role, for all its members at once.

    Raises what `create_role` raises, `NotFound`, `Outdated`, or `RoleNeeded` where nobody could
    administer any more, the actor included, or new accounts would get no role.
    """
    await take_turn(session, actor)
    role = await _expected_role(session, role_id, expected)
    own = select(User.id).where(User.id == actor.user_id, User.role_id == role.id)
    is_own = (await session.execute(own)).first() is not None
    before = _values(role)
    _apply(role, data, pages)
    if role.key == ADMINISTRATOR and not data.administers:
        raise RoleNeeded("This role must go on administering: the commands rely on it.")
    if is_own and not data.administers:
        raise RoleNeeded("This is your own role: you would no longer be an administrator.")
    if before["default"] and not role.default:
        raise RoleNeeded("New accounts get this role. Choose another one for them instead.")
    await _store(session, role)
    await _keep_one_default(session, role)
    record(session, acts.ROLE_EDITED, subject(role), before=before, after=_values(role))
    return role


async def delete_role(
    session: AsyncSession, actor: Identity, role_id: int, expected: IfMatch = ANY
) -> None:
    """Delete a role that nobody has. Raises `NotFound`, `Outdated`, `RoleInUse` or `RoleNeeded`."""
    await take_turn(session, actor)
    role = await _expected_role(session, role_id, expected)
    if role.key or role.default:
        raise RoleNeeded("This role cannot be deleted: the application needs it.")
    if (await session.execute(select(User.id).where(User.role_id == role.id).limit(1))).first():
        raise RoleInUse
    record(session, acts.ROLE_DELETED, subject(role), before=_values(role))
    try:
        async with session.begin_nested():
            await session.delete(role)
    except IntegrityError:  # somebody got it meanwhile
        raise RoleInUse from None


async def _expected_role(session: AsyncSession, role_id: int, expected: IfMatch) -> Role:
    role = await get_role(session, role_id, lock=True)
    expected.require(lambda: RoleOut.of(role))
    return role


def subject(role: Role) -> Subject:
    """Return the role, for the trail."""
    return Subject("role", role.id, role.name)


def _apply(role: Role, data: RoleIn, pages: Collection[str]) -> None:
    # Permissions and landing pages of removed features may stay, or such a role could not be saved.
    if data.grants - PERMISSIONS.keys() - set(role.grants.split()):
        raise UnknownPermission("There is no such permission.")
    if data.index not in {*pages, role.index}:
        raise UnknownLandingPage
    if data.default and data.administers:
        raise DefaultAdministers
    role.name, role.index, role.default = data.name, data.index, data.default
    # Leaves other bits alone: they may be a project's own.
    if data.administers:
        role.permissions |= int(Permission.ADMINISTER)
    elif administers(role):
        role.permissions &= ~int(Permission.ADMINISTER)
        role.permissions |= int(Permission.GENERAL)
    role.grants = " ".join(sorted(data.grants))


def _values(role: Role) -> dict[str, object]:
    return {
        "name": role.name,
        "landing page": role.index,
        "default": role.default,
        "administers": administers(role),
        "grants": role.grants,
    }


async def _store(session: AsyncSession, role: Role) -> None:
    with session.no_autoflush:
        others = [each for each in await list_roles(session) if each is not role]
    if folded(role.name) in {folded(each.name) for each in others}:  # nobody could tell them apart
        raise NameTaken
    session.add(role)
    try:
        await session.flush()
    except IntegrityError:
        raise NameTaken from None


async def _keep_one_default(session: AsyncSession, role: Role) -> None:
    if role.default:
        others = update(Role).where(Role.id != role.id, Role.default)
        await session.execute(others.values(default=False))
