"""Steps of the stranger, who never reads a mail to an address of the owner's."""

from hypothesis import strategies as st
from sqlalchemy import select

from app.auth.models import Credential
from app.auth.tokens import digest
from app.database import db
from tests.accounts.any_order.events import by_page, event, mailed
from tests.accounts.any_order.people import STRANGER, Browser
from tests.accounts.any_order.scene import Scene, anybodys, nth, number, owners
from tests.accounts.surfaces import (
    CHANGE_PASSWORD,
    DELETE_ACCOUNT,
    END_OTHER_SESSIONS,
    END_SESSION,
    REGISTER,
    RENAME,
    REQUEST_EMAIL_CHANGE,
    REQUEST_RESET,
    RESEND_CONFIRMATION,
)

GUESSES = 4  # more than LOGIN_LIMIT_ACCOUNT allows


class StrangerSteps(Scene):
    """The steps, what is cheap first: the first example is made of the first one alone."""

    @event(n=number, email=anybodys, page=by_page)
    async def stranger_logs_in(self, n: int, email: str, page: bool) -> None:
        await self.theirs[n].log_in(email, STRANGER.password, page=page)

    @event(4, n=number, email=anybodys, page=by_page, stays=st.booleans(), now=mailed)
    async def stranger_registers(
        self, n: int, email: str, page: bool, stays: bool, now: bool
    ) -> None:
        """Register an address, and perhaps stay logged in."""
        fields = {**STRANGER.names, "email": email, "password": STRANGER.password}
        if page:
            await self.theirs[n].log_out()
        assert (await self.theirs[n].do(REGISTER, fields, page=page)).is_yes
        if stays:
            await self.theirs[n].log_in(email, STRANGER.password, page=page)
        await self._work(now)

    @event(2, email=owners)
    async def stranger_guesses(self, email: str) -> None:
        """Guess from one ip after the other."""
        for n in range(GUESSES):
            program = Browser(self.app, f"203.0.113.{n}")
            await program.log_in(email, "perhaps it is this one", page=False)

    @event(2, n=number, email=anybodys, page=by_page, now=mailed)
    async def stranger_asks_for_a_reset(self, n: int, email: str, page: bool, now: bool) -> None:
        if page:
            await self.theirs[n].log_out()
        assert (await self.theirs[n].do(REQUEST_RESET, {"email": email}, page=page)).is_yes
        await self._work(now)

    @event(4, n=number, email=anybodys, page=by_page, now=mailed)
    async def stranger_changes_address(self, n: int, email: str, page: bool, now: bool) -> None:
        fields = {"email": email, "password": STRANGER.password}
        browser = await self._logged_in(n)
        await browser.do(REQUEST_EMAIL_CHANGE, fields, page=page)
        await self._work(now)

    @event(3, n=number, newest=nth)
    async def stranger_presses(self, n: int, newest: int) -> None:
        """Press a button of a mail to the stranger, an objection for example."""
        await self._press(self.theirs[n], STRANGER, newest)

    @event(3, n=number, page=by_page)
    async def stranger_deletes(self, n: int, page: bool) -> None:
        browser = await self._logged_in(n)
        await browser.do(DELETE_ACCOUNT, {"password": STRANGER.password}, page=page)

    @event(2, n=number, page=by_page, now=mailed, which=st.integers(0, 4))
    async def stranger_sees_to_an_account(self, n: int, page: bool, now: bool, which: int) -> None:
        browser, password = await self._logged_in(n), STRANGER.password
        if which == 0:
            await browser.do(RENAME, STRANGER.names, page=page)
        elif which == 1:
            fields = {"old_password": password, "new_password": password}
            await browser.do(CHANGE_PASSWORD, fields, page=page)
        elif which == 2:
            await browser.do(END_OTHER_SESSIONS, page=page)
        elif which == 3:
            await browser.do(RESEND_CONFIRMATION, page=page)
        else:
            await self._end_sessions_of_the_owner(browser, page)
        await self._work(now)

    async def _end_sessions_of_the_owner(self, browser: Browser, page: bool) -> None:
        """Try to, by their ids, as if these were known."""
        secrets = [digest(each.session) for each in self.mine]
        async with db.session() as session:
            query = select(Credential.id).where(Credential.digest.in_(secrets))
            ids = (await session.execute(query)).scalars().all()
        for each in ids:
            await browser.do(END_SESSION, page=page, id=each)

    async def _logged_in(self, n: int) -> Browser:
        """Return a browser that is logged in, if only to the account that the stranger began with.

        It may well be logged in to another one, that no address is confirmed of yet.
        """
        await self.theirs[n].be_logged_in(STRANGER.emails[0], STRANGER.password)
        return self.theirs[n]
