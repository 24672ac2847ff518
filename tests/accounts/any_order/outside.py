"""Steps of others: time passes, administrators and operators act."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import update

from app.auth.models import Purpose, User
from app.database import db
from app.jobs.queue import enqueue
from tests.accounts.any_order.driver import Driver
from tests.accounts.any_order.events import SPANS, by_page, emails, event, mailed, nth
from tests.accounts.any_order.model import EMAILS, PASSWORDS, Account

TO_THIS_ADDRESS = [Purpose.CONFIRM, Purpose.RESET, Purpose.INVITE]  # useless at another address


class OutsideSteps(Driver):
    """The steps that no user of the surfaces takes."""

    @event(2, span=st.sampled_from(SPANS), deleted=st.booleans(), now=mailed)
    async def time_passes(self, span: timedelta, deleted: bool, now: bool) -> None:
        self.clock.time += span
        if deleted:
            async with db.transaction() as session:
                await enqueue(session, "accounts.delete_expired_credentials")
        await self._work(now)

    @event(email=emails)
    async def an_administrator_disables_or_enables(self, email: str) -> None:
        if account := self._at(email):
            account.disabled = not account.disabled
            await self._set(account, disabled_at=self.clock.time if account.disabled else None)

    @event(2, kind=st.sampled_from(TO_THIS_ADDRESS), n=nth, page=by_page)
    async def an_operator_corrects_an_address(self, kind: Purpose, n: int, page: bool) -> None:
        """Change an address in the database, which revokes nothing.

        Links to the previous address must not work all the same.
        """
        if not self.links[kind]:
            return
        link = self._link(kind, n)
        account = link.owner
        new = next(
            (email for email in ("fay@example.com", *EMAILS) if not self._at(email)), link.email
        )
        if account in self.accounts and new and new != link.email:
            account.email = new
            await self._set(account, email=new)
            self.proven[account.id].add(new)
            self.may_move.add((account.id, new))
            assert await self._use(link, page, 1, PASSWORDS[0]) is None

    async def _set(self, account: Account, **values: Any) -> None:
        async with db.transaction() as session:
            await session.execute(update(User).where(User.id == account.id).values(**values))
