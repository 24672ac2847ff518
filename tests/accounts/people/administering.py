"""What tests of the administration begin with: an administrator, and what became of somebody."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from quart.wrappers import Response
from sqlalchemy import select, update

from app.accounts import people, roles
from app.auth.identity import Identity
from app.auth.models import Credential, Purpose, Role, User
from app.database import db, utcnow
from tests.factories.people import Person, log_in, make_person
from tests.mail.acts import signed_in
from tests.mail.captured import mails

# Each act on one account: the page that does it, and the endpoint.
PAGE_AND_API = {
    "disable": ("disable", ("POST", "disable")),
    "enable": ("enable", ("POST", "enable")),
    "confirm": ("confirm", ("POST", "confirm")),
    "reset": ("reset-password", ("POST", "reset-password")),
    "invite again": ("invite-again", ("POST", "invitation")),
    "cancel": ("cancel-invitation", ("DELETE", "invitation")),
    "end sessions": ("end-sessions", ("DELETE", "sessions")),
    "delete": ("delete", ("DELETE", "")),
}


async def administrator(app: Quart) -> tuple[Browser, Person]:
    """Return an administrator and the browser in which they are logged in."""
    browser, person = app.test_client(), await make_person(role=roles.ADMINISTRATOR)
    await log_in(browser, person)
    return browser, person


async def actor(person: Person | None = None) -> Identity:
    """Return the identity of an administrator."""
    person = person or await make_person(role=roles.ADMINISTRATOR)
    return await signed_in(person.id)


async def do(browser: Browser, act: str, user_id: int, *, by_page: bool) -> tuple[int, str]:
    """Do one act to an account; returns the status and the text of the answer."""
    page, (method, endpoint) = PAGE_AND_API[act]
    if by_page:
        answer = await browser.post(f"/admin/user/{user_id}/{page}", form={})
    else:
        path = f"/api/v1/users/{user_id}/{endpoint}".rstrip("/")
        answer = await browser.open(path, method=method, json=None)
    return answer.status_code, await answer.get_data(as_text=True)


async def post(browser: Browser, path: str, fields: Mapping[str, Any]) -> Response:
    """Post a form in which a field may have several values, as a browser does."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await browser.post(path, data=urlencode(fields, doseq=True), headers=headers)


async def carry_out(function: Callable[..., Awaitable[Any]], *values: Any) -> Any:
    """Call a function of the service in a transaction of its own."""
    async with db.transaction() as session:
        return await function(session, *values)


async def found(user_id: int) -> User | None:
    """Return the user, with their role, as they are in the database."""
    async with db.session() as session:
        query = select(User).where(User.id == user_id)
        if (await session.execute(query)).first() is None:
            return None
        return await people.get_person(session, user_id)


async def there(user_id: int) -> User:
    """Return the user, who must be there."""
    user = await found(user_id)
    assert user
    return user


async def told(browser: Browser) -> list[tuple[str, str]]:
    """Return to whom mails went, and their subjects, in order."""
    subjects = [(mail["to"][0], mail["subject"]) for mail in await mails(browser)]
    return sorted((to, subject.partition("] ")[2] or subject) for to, subject in subjects)


async def valid(user_id: int) -> set[str]:
    """Return the purposes of the credentials of a user that work."""
    async with db.session() as session:
        theirs = (Credential.user_id == user_id, Credential.expires_at > utcnow())
        return set((await session.execute(select(Credential.purpose).where(*theirs))).scalars())


async def administrators() -> list[int]:
    """Return the ids of the administrators who can log in."""
    async with db.session() as session:
        query = roles.administrators().where(User.disabled_at.is_(None)).order_by(User.id)
        return list((await session.execute(query)).scalars())


async def role_id(key: str) -> int:
    """Return the id of a role."""
    async with db.session() as session:
        return (await roles.role_of(session, key)).id


async def end_everything(user_id: int) -> None:
    """End all credentials of a user."""
    async with db.transaction() as session:
        theirs = update(Credential).where(Credential.user_id == user_id)
        await session.execute(theirs.values(expires_at=utcnow()))


async def set_role(user_id: int, key: str) -> None:
    """Give a user a role, past all rules."""
    async with db.transaction() as session:
        role = await roles.role_of(session, key)
        await session.execute(update(User).where(User.id == user_id).values(role_id=role.id))


async def role_row(key: str) -> Role:
    """Return a role as it is in the database."""
    async with db.session() as session:
        return await roles.role_of(session, key)


SESSION, DEVICE, RESET, INVITE = Purpose.SESSION, Purpose.DEVICE, Purpose.RESET, Purpose.INVITE
