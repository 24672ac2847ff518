"""Roles, and the people who have them."""

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import Credential, Permission, Role, User
from app.database import utcnow
from app.errors import DomainError

USER, ADMINISTRATOR = "User", "Administrator"

# name → permissions, landing page, whether new accounts get it
ROLES = {
    USER: (Permission.GENERAL, "main", True),
    ADMINISTRATOR: (Permission.ADMINISTER, "admin", False),
}


class EmailTaken(DomainError):
    """The address has an account already."""

    code = "email-taken"

    def __init__(self) -> None:
        super().__init__("This address has an account already.", field="email")


async def insert_roles(session: AsyncSession) -> None:
    """Make the roles of `ROLES` be as it says; other roles stay as they are. Doing it again changes nothing."""
    present = {role.name: role for role in (await session.execute(select(Role))).scalars()}
    for name, (permissions, index, default) in ROLES.items():
        role = present.get(name) or Role(name=name)
        role.permissions, role.index, role.default = permissions, index, default
        session.add(role)
    await session.flush()  # whoever comes next looks them up


async def role_named(session: AsyncSession, name: str) -> Role:
    """The role of this name."""
    return (await session.execute(select(Role).where(Role.name == name))).scalar_one()


async def find_user(session: AsyncSession, email: str) -> User | None:
    """The account of an address, whatever its case."""
    return (await session.execute(select(User).where(User.email == email.strip().lower()))).scalar_one_or_none()


async def has_administrator(session: AsyncSession) -> bool:
    """Whether anybody may administer."""
    query = select(User.id).join(Role).where(Role.permissions.op("&")(Permission.ADMINISTER) == Permission.ADMINISTER)
    return (await session.execute(query.limit(1))).first() is not None


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
    """Create a confirmed administrator, or give an account that role and this password; its sessions end.

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
    await end_everything(session, user.id)
    return False


async def end_everything(session: AsyncSession, user_id: int) -> None:
    """Make every credential of somebody expire at once: sessions, tokens, mailed links."""
    await session.execute(update(Credential).where(Credential.user_id == user_id).values(expires_at=utcnow()))


async def count_people(session: AsyncSession) -> tuple[int, int]:
    """How many accounts there are, and how many sessions have not expired."""
    people = (await session.execute(select(func.count(User.id)))).scalar_one()
    alive = select(func.count(Credential.id)).where(Credential.purpose == "session", Credential.expires_at > utcnow())
    return people, (await session.execute(alive)).scalar_one()
