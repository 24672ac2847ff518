"""Roles, and the people who have them."""

from collections.abc import Collection
from typing import Any, cast

from pydantic_core import to_jsonable_python
from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.schemas import FullName
from app.auth.identity import Identity
from app.auth.models import Credential, Permission, Purpose, Role, User
from app.database import Base, utcnow
from app.errors import DomainError, NotFound

USER, ADMINISTRATOR = "User", "Administrator"

# name → permissions, landing page, whether new accounts get it
ROLES = {
    USER: (Permission.GENERAL, "main", True),
    ADMINISTRATOR: (Permission.ADMINISTER, "admin", False),
}

# An objection goes on working whatever happens: else whoever took an account over would end it
# first.
EVERYTHING = frozenset(Purpose) - {Purpose.OBJECT}
# What proves who somebody is, though stored as digests only.
PROOFS = {"password_hash", "digest", "pending"}


class EmailTaken(DomainError):
    """The address has an account already."""

    code = "email-taken"
    message, field = "This address has an account already.", "email"


class LastAdministrator(DomainError):
    """Nobody else could administer."""

    code = "last-administrator"
    message = "You are the only administrator. Make somebody else one first."


async def insert_roles(session: AsyncSession) -> None:
    """Make the roles of `ROLES` be as it says; other roles stay as they are.

    Doing it again changes nothing.
    """
    present = {role.name: role for role in (await session.execute(select(Role))).scalars()}
    for name, (permissions, index, default) in ROLES.items():
        role = present.get(name) or Role(name=name)
        role.permissions, role.index, role.default = permissions, index, default
        session.add(role)
    await session.flush()  # whoever comes next looks them up


async def role_named(session: AsyncSession, name: str) -> Role:
    """The role of this name."""
    return (await session.execute(select(Role).where(Role.name == name))).scalar_one()


async def get_user(session: AsyncSession, user_id: int, *, lock: bool = False) -> User:
    """An account. Raises `NotFound` if it is gone."""
    user = await session.get(User, user_id, with_for_update=lock or None)
    if user is None:
        raise NotFound("This account does not exist any more.")
    return user


async def find_user(session: AsyncSession, email: str) -> User | None:
    """The account of an address, whatever its case."""
    return (
        await session.execute(select(User).where(User.email == email.strip().lower()))
    ).scalar_one_or_none()


async def has_administrator(session: AsyncSession) -> bool:
    """Whether anybody may administer."""
    return (await session.execute(administrators().limit(1))).first() is not None


def administrators() -> Select[int]:
    """The ids of everybody who may administer."""
    all_of_it = Role.permissions.op("&")(Permission.ADMINISTER) == Permission.ADMINISTER
    return select(User.id).join(Role).where(all_of_it)


async def create_user(
    session: AsyncSession,
    *,
    email: str,
    first_name: str,
    last_name: str,
    password_hash: str | None,
    confirmed: bool,
    role_name: str = USER,
) -> User:
    """Create an account. Raises `EmailTaken`."""
    if await find_user(session, email):
        raise EmailTaken
    user = User(
        email=email,
        first_name=first_name,
        last_name=last_name,
        password_hash=password_hash,
        confirmed=confirmed,
        role_id=(await role_named(session, role_name)).id,
    )
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError:  # somebody else was faster, by less than it takes to look
        raise EmailTaken from None
    return user


async def make_administrator(session: AsyncSession, email: str, password_hash: str) -> bool:
    """Create a confirmed administrator, or give an account that role and this password.

    Its sessions end.

    Returns whether the account is new.
    """
    user = await find_user(session, email)
    if user is None:
        await create_user(
            session,
            email=email,
            first_name="Admin",
            last_name="Account",
            password_hash=password_hash,
            confirmed=True,
            role_name=ADMINISTRATOR,
        )
        return True
    user.role_id = (await role_named(session, ADMINISTRATOR)).id
    user.password_hash, user.confirmed, user.disabled_at = password_hash, True, None
    await end_credentials(
        session, user.id, frozenset(Purpose)
    )  # an objection would hand the role on
    return False


async def end_credentials(
    session: AsyncSession, user_id: int, purposes: Collection[Purpose] = EVERYTHING
) -> None:
    """Make somebody's credentials expire at once: sessions, tokens, mailed links."""
    mine = update(Credential).where(Credential.user_id == user_id, Credential.purpose.in_(purposes))
    await session.execute(mine.values(expires_at=utcnow()))


async def rename_user(session: AsyncSession, actor: Identity, name: FullName) -> None:
    """Give oneself another name."""
    await session.execute(update(User).where(User.id == actor.user_id).values(**name.model_dump()))


async def export_data(session: AsyncSession, actor: Identity) -> dict[str, Any]:
    """What is stored about somebody, as plain values; no secrets.

    No mailed links either: whether one was written down for another address tells if that has an
    account.
    """
    user = await get_user(session, actor.user_id)
    mine = (Credential.user_id == user.id, Credential.purpose.in_((Purpose.SESSION, Purpose.TOKEN)))
    newest = select(Credential).where(*mine).order_by(Credential.created_at.desc()).limit(1000)
    credentials = (await session.execute(newest)).scalars()
    return {
        "account": _plain(user) | {"role": actor.role_name},
        "credentials": [_plain(each) for each in credentials],
    }


async def delete_account(session: AsyncSession, actor: Identity) -> None:
    """Delete an account with all that belongs to it. Raises `LastAdministrator`."""
    # Locked all together, or two administrators could go at the same moment.
    others = (
        administrators()
        .where(User.disabled_at.is_(None))
        .order_by(User.id)
        .with_for_update(of=User)
    )
    who = set((await session.execute(others)).scalars())
    if who == {actor.user_id}:
        raise LastAdministrator
    await session.execute(delete(User).where(User.id == actor.user_id))


def _plain(row: Base) -> dict[str, Any]:
    values = {
        column.name: getattr(row, column.name)
        for column in row.__table__.columns
        if column.name not in PROOFS
    }
    return cast(dict[str, Any], to_jsonable_python(values))


async def count_people(session: AsyncSession) -> tuple[int, int]:
    """How many accounts there are, and how many sessions have not expired."""
    people = (await session.execute(select(func.count(User.id)))).scalar_one()
    alive = select(func.count(Credential.id)).where(
        Credential.purpose == "session", Credential.expires_at > utcnow()
    )
    return people, (await session.execute(alive)).scalar_one()
