"""The owner of a mailbox, and a stranger who would like to have what will be the owner's."""

from dataclasses import dataclass, field
from typing import Any

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from quart.wrappers import Response
from sqlalchemy import select

from app.auth.models import User
from app.database import db
from tests.accounts.surfaces import (
    API,
    LOG_IN,
    REGISTER,
    REQUEST_EMAIL_CHANGE,
    SET_UP,
    Flow,
    Request,
)
from tests.mail.captured import link_in, mails, token_of

ADDRESS = "olive@example.com"  # the owner's, which the stranger is after
DONE = (200, 201, 202, 204, 303)


@dataclass
class Party:
    """Somebody with a browser, and what they would enter."""

    browser: Browser
    email: str
    password: str
    names: dict[str, str] = field(default_factory=dict)

    async def send(self, request: Request, **headers: str) -> Response:
        """Send a request with the cookies of the browser."""
        kind: dict[str, Any] = {}
        if request.fields is not None:
            kind["form" if request.by_page else "json"] = request.fields
        return await self.browser.open(request.path, method=request.method, headers=headers, **kind)

    async def do(self, flow: Flow, *, by_page: bool, **fields: str) -> None:
        """Do something that works."""
        answer = await self.send(flow.request(fields, by_page=by_page))
        assert answer.status_code in DONE, await answer.get_data(as_text=True)

    async def register(self, email: str = ADDRESS, *, by_page: bool) -> None:
        """Register an address, whoever's it is. The browser is logged out for it."""
        self.browser.delete_cookie("localhost", "session_testing")
        fields = {**self.names, "email": email, "password": self.password}
        await self.do(REGISTER, by_page=by_page, **fields)

    async def log_in(self, email: str = ADDRESS) -> int:
        """Try to log in with the password; returns 201 or 401."""
        fields = {"email": email, "password": self.password}
        return (await self.send(LOG_IN.request(fields, by_page=API))).status_code

    async def move(self, email: str, *, by_page: bool) -> None:
        """Ask for another address of the account that the browser is logged in to."""
        fields = {"email": email, "password": self.password}
        await self.do(REQUEST_EMAIL_CHANGE, by_page=by_page, **fields)

    async def set_up(self, link: str, *, by_page: bool) -> int:
        """Choose a name and the password with a link; returns the answer's status."""
        request = SET_UP.use(token_of(link), self.password, by_page=by_page, **self.names)
        return (await self.send(request)).status_code

    async def account(self) -> tuple[str, str, bool] | None:
        """Return the address, the name and the state of the account that one is logged in to."""
        found = await (await self.browser.get("/api/v1/account")).get_json()
        return (
            (found["email"], found["first_name"], found["confirmed"]) if "email" in found else None
        )


def owner_of(app: Quart) -> Party:
    """Return the owner of `ADDRESS`, who has a fresh browser and reads the mails."""
    names = {"first_name": "Olive", "last_name": "Owner"}
    return Party(app.test_client(), ADDRESS, "seven paper bridges burn", names)


def stranger_to(app: Quart) -> Party:
    """Return a stranger, who reads no mail of the owner's."""
    names = {"first_name": "Mallory", "last_name": "Sly"}
    return Party(app.test_client(), "mallory@example.com", "three copper anchors drift", names)


async def links_to(party: Party, subject: str = "") -> list[str]:
    """Return the links in a party's mailbox, the newest first; those of one subject, if given."""
    return [
        link_in(mail)
        for mail in await mails(party.browser)
        if mail["to"] == [party.email] and subject in mail["subject"]
    ]


async def users() -> list[tuple[str, str, bool]]:
    """Return the address, the first name and the state of every account there is."""
    async with db.session() as session:
        found = (await session.execute(select(User).order_by(User.id))).scalars()
        return [(user.email, user.first_name, user.confirmed) for user in found]
