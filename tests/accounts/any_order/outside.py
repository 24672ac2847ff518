"""Steps of others: time passes, administrators and operators act."""

from datetime import timedelta

from hypothesis import strategies as st
from sqlalchemy import update

from app.accounts import service
from app.auth.models import Purpose, User
from app.database import db
from app.jobs.queue import enqueue
from tests.accounts.any_order.driver import Driver
from tests.accounts.any_order.events import SPANS, by_page, emails, event, mailed, nth
from tests.accounts.any_order.model import EMAILS, EVERYTHING, PASSWORDS
from tests.accounts.surfaces import LINKS

# Useless at another address.
TO_THIS_ADDRESS = [Purpose.CONFIRM, Purpose.RESET, Purpose.INVITE]


class OutsideSteps(Driver):
    """The steps that no user of the surfaces takes."""

    @event(2, span=st.sampled_from(SPANS), deleted=st.booleans(), now=mailed)
    async def time_passes(self, span: timedelta, deleted: bool, now: bool) -> None:
        self.clock.time += span
        if deleted:
            async with db.transaction() as session:
                await enqueue(session, "accounts.delete_expired_credentials")
        await self._work(now)

    @event(3, email=emails)
    async def an_administrator_disables_or_enables(self, email: str) -> None:
        if account := self._at(email):
            account.disabled = not account.disabled
            change = service.disable_user if account.disabled else service.enable_user
            async with db.transaction() as session:
                user = await service.find_user(session, account.email)
                assert user
                await change(session, user.id)
            if account.disabled:
                self._end_all(account, EVERYTHING)
                self._end_confirmations(account.email)

    @event(2, kind=st.sampled_from(TO_THIS_ADDRESS), n=nth, page=by_page)
    async def an_operator_corrects_an_address(self, kind: Purpose, n: int, page: bool) -> None:
        """Change an address in the database, which revokes nothing.

        Links to the previous address must not work all the same.
        """
        if not self.links[kind]:
            return
        link = self._link(kind, n)
        account = link.owner or link.registration
        new = next(
            (email for email in ("fay@example.com", *EMAILS) if not self._at(email)), link.email
        )
        if account in self.accounts and account and new and new != link.email:
            account.email = new
            async with db.transaction() as session:
                correct = update(User).where(User.id == account.id).values(email=new)
                await session.execute(correct)
            self.proven[account].add(new)
            self.may_move.add((account, new))
            request = LINKS[kind].use(str(link.secret), PASSWORDS[0], by_page=page)
            is_there = kind is Purpose.CONFIRM and self._is_usable(link)
            assert await self._use(link, request, expected=409 if is_there else 410) is None
