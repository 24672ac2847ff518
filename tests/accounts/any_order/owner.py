"""Steps of the owner, who is honest, and presses the button of every mail that comes."""

from hypothesis import strategies as st

from app.auth.devices import device_digest
from tests.accounts.any_order.events import by_page, event, mailed
from tests.accounts.any_order.people import OWNER, press
from tests.accounts.any_order.scene import Scene, is_the_owners, nth, number, owners
from tests.accounts.surfaces import (
    CHANGE_PASSWORD,
    END_OTHER_SESSIONS,
    REAUTHENTICATE,
    REGISTER,
    REQUEST_EMAIL_CHANGE,
    REQUEST_RESET,
    RESEND_CONFIRMATION,
)


class OwnerSteps(Scene):
    """The steps, by pages."""

    @event(2, n=number, email=owners, now=mailed)
    async def owner_registers(self, n: int, email: str, now: bool) -> None:
        await self.mine[n].log_out()
        fields = {**OWNER.names, "email": email, "password": OWNER.password}
        assert (await self.mine[n].do(REGISTER, fields)).is_yes
        await self._work(now)

    @event(8, n=number, newest=nth)
    async def owner_presses(self, n: int, newest: int) -> None:
        """Press the button of any mail that has come."""
        await self._press(self.mine[n], OWNER, newest)

    @event(2, n=number, email=owners)
    async def owner_logs_in(self, n: int, email: str) -> None:
        """Log in: a browser that is known is never refused."""
        browser, user = self.mine[n], await self._account_at(email)
        digests = {row.digest for row, _ in await self._alive()}
        is_known = user is not None and device_digest(browser.device, user.id) in digests
        answer = await browser.log_in(email, OWNER.password)
        if user and is_known and is_the_owners(user) and user.password_hash:
            assert answer.is_yes, "the stranger has locked a known browser out"

    @event(2, n=number, email=owners, page=by_page, now=mailed)
    async def owner_changes_address(self, n: int, email: str, page: bool, now: bool) -> None:
        """Change to an address, from the other one."""
        other = OWNER.emails[email == OWNER.emails[0]]
        await self.mine[n].be_logged_in(other, OWNER.password)
        fields = {"email": email, "password": OWNER.password}
        await self.mine[n].do(REQUEST_EMAIL_CHANGE, fields, page=page)
        await self._work(now)

    @event(2, n=number, now=mailed, which=st.sampled_from([4, 4, 4, 0, 1, 2, 3]))
    async def owner_sees_to_an_account(self, n: int, now: bool, which: int) -> None:
        browser, password = self.mine[n], OWNER.password
        await browser.be_logged_in(OWNER.emails[0], password)
        if which == 0:
            await browser.log_out()
        elif which == 1:
            fields = {"old_password": password, "new_password": password}
            await browser.do(CHANGE_PASSWORD, fields)
        elif which == 2:
            await browser.do(END_OTHER_SESSIONS)
        elif which == 3:
            await browser.do(RESEND_CONFIRMATION)
        else:
            answer = await browser.do(REAUTHENTICATE, {"password": password})
            assert answer.status == 303, "the stranger has locked a session out"
        await self._work(now)

    @event(3, n=number, email=owners, forgot=st.booleans(), resets=st.booleans())
    async def owner_gets_in(self, n: int, email: str, forgot: bool, resets: bool) -> None:
        """Get in, to see one's own account: at once, or with one mail that is asked for.

        An address that is not confirmed may be registered again, or its password be reset.
        """
        browser, user = self.mine[n], await self._account_at(email)
        if user and user.disabled_at:
            return
        if not forgot:
            if not await browser.sees(email):
                await self.owner_logs_in(n, email)
            if await browser.sees(email):
                return
        await browser.log_out()
        fields = {"email": email}
        if user and (user.confirmed or resets):
            answer = await browser.do(REQUEST_RESET, fields)
        else:
            fields |= {**OWNER.names, "password": OWNER.password}
            answer = await browser.do(REGISTER, fields)
        assert answer.is_yes, "the stranger has used the mails up"
        await self._work(True)
        for mail in self.mailboxes.of(OWNER):
            if mail.to == email and mail.is_key:
                await press(browser, mail, OWNER)
                if not await browser.sees(email):
                    await self.owner_logs_in(n, email)
                if await browser.sees(email):
                    return
        raise AssertionError("the owner does not get in with one mail")

    async def _let_the_owner_in(self) -> None:
        for n, email in enumerate(OWNER.emails):
            await self.owner_gets_in(n, email, forgot=n == 0, resets=True)
