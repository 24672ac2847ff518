"""People for tests, made by the product's own functions."""

from dataclasses import dataclass
from itertools import count

from quart.typing import TestClientProtocol as Browser

from app.accounts import registration, roles, service
from app.auth.hashing import passwords
from app.auth.models import Permission, Role
from app.database import db

PASSWORD = "a violet kettle sings"  # strong enough, and of nobody outside the tests
NUMBERS = count(1)


@dataclass(frozen=True)
class Person:
    """A user of the tests, with their password in clear."""

    id: int
    email: str
    first_name: str
    password: str


async def insert_roles() -> None:
    """Insert the roles that every database has."""
    async with db.transaction() as session:
        await roles.insert_roles(session)


async def make_role(*grants: str) -> str:
    """Make a role that grants these permissions; returns its key."""
    key = f"role{next(NUMBERS)}"
    role = Role(key=key, name=key, index="main", permissions=Permission.GENERAL)
    role.grants = " ".join(grants)
    async with db.transaction() as session:
        session.add(role)
    return key


async def make_person(
    *,
    email: str | None = None,
    first_name: str = "Robin",
    role: str = roles.USER,
    confirmed: bool = True,
) -> Person:
    """Create a user with a password."""
    email = email or f"robin{next(NUMBERS)}@example.com"
    password_hash = await passwords.hash(PASSWORD)
    async with db.transaction() as session:
        user = await service.create_user(
            session,
            email=email,
            first_name=first_name,
            last_name="Example",
            password_hash=password_hash,
            confirmed=confirmed,
            role=await roles.role_of(session, role),
        )
        return Person(user.id, user.email, first_name, PASSWORD)


async def log_in(client: Browser, person: Person) -> None:
    """Log a browser in with the log-in form."""
    response = await client.post(
        "/account/login", form={"email": person.email, "password": person.password}
    )
    assert response.status_code == 303, await response.get_data(as_text=True)


def secret_of(browser: Browser) -> str:
    """Return the secret in a browser's session cookie."""
    assert browser.cookie_jar is not None
    return {cookie.name: str(cookie.value) for cookie in browser.cookie_jar}["session_testing"]


async def invite(email: str = "guest@example.com", role: str = roles.USER) -> Person:
    """Invite somebody, who gets a mail and has no password yet."""
    async with db.transaction() as session:
        user = await registration.invite_user(
            session,
            email=email,
            first_name="Kim",
            last_name="Guest",
            role=await roles.role_of(session, role),
        )
        return Person(user.id, user.email, "Kim", "")
