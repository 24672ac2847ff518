"""What the owner of an account and the stranger beside them act on: browsers, mails, accounts."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from quart import Quart
from sqlalchemy import select

from app.accounts import service
from app.auth.hashing import passwords
from app.auth.models import Credential, User
from app.database import db
from app.mail.message import Email
from tests.accounts.any_order.driver import empty
from tests.accounts.any_order.model import Clock
from tests.accounts.any_order.people import OWNER, STRANGER, Browser, Mailboxes, Person, press

nth = st.sampled_from([0, 0, 0, 1, 2])  # from the newest on
number = st.sampled_from([0, 1])  # of a browser
first = OWNER.emails[0]
anybodys = st.sampled_from([first, first, first, OWNER.emails[1], *STRANGER.emails])
owners = st.sampled_from([first, first, OWNER.emails[1]])
registered = st.sampled_from([None, None, *OWNER.emails])  # an account that the owner begins with


class Scene:
    """Two browsers of each, `mine` of the owner and `theirs` of the stranger."""

    def __init__(
        self,
        app: Quart,
        clock: Clock,
        sent: list[Email],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__()
        self.app, self.clock, self.sent, self.loop = app, clock, sent, loop

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        async def within() -> None:
            async with self.app.app_context():
                await work

        self.loop.run_until_complete(within())

    async def _begin_anew(self, email: str | None) -> None:
        """Begin with a stranger who has an account, and perhaps with an owner who is logged in."""
        await empty(self.app)
        self.clock.time = datetime.now(UTC)
        self.mailboxes = Mailboxes(self.sent)
        self.mine = [Browser(self.app, "192.0.2.1"), Browser(self.app, "192.0.2.2")]
        self.theirs = [Browser(self.app, "198.51.100.1"), Browser(self.app, "198.51.100.2")]
        await add_account(STRANGER, STRANGER.emails[0], self.theirs[1])
        if email:
            await add_account(OWNER, email, self.mine[0])
        self.disabled: set[int] = set()
        self.checked: set[tuple[str, Person]] = set()  # the password hashes of whom

    async def _work(self, now: bool) -> None:
        if now:
            await self.mailboxes.fill()

    async def _press(self, browser: Browser, person: Person, newest: int) -> None:
        if mails := self.mailboxes.of(person):
            await press(browser, mails[newest % len(mails)], person)

    async def _account_at(self, email: str) -> User | None:
        async with db.session() as session:
            return await service.find_user(session, email)

    async def _alive(self) -> list[tuple[Credential, User | None]]:
        query = select(Credential, User).outerjoin(User, User.id == Credential.user_id)
        query = query.where(
            Credential.consumed_at.is_(None), Credential.expires_at > self.clock.time
        )
        async with db.session() as session:
            return [(row, user) for row, user in (await session.execute(query)).all()]


async def add_account(person: Person, email: str, browser: Browser) -> None:
    """Give somebody a confirmed account, and log them in."""
    password_hash = await passwords.hash(person.password)
    async with db.transaction() as session:
        await service.create_user(
            session,
            email=email,
            password_hash=password_hash,
            confirmed=True,
            role=None,
            **person.names,
        )
    assert (await browser.log_in(email, person.password)).is_yes


def is_the_owners(user: User | None) -> bool:
    """Tell whose account it is, by the name that only its owner chooses."""
    return user is not None and user.first_name == OWNER.name[0]
