"""Steps with mailed links, any that was ever mailed, used once or twice at the same moment."""

from hypothesis import strategies as st

from app.auth.models import Purpose
from tests.accounts.any_order.driver import Driver, cookie_of
from tests.accounts.any_order.events import by_page, event, mailed, nth, times, words
from tests.accounts.any_order.model import PASSWORDS, REVOCABLE, Password
from tests.accounts.surfaces import API, LINKS


class LinkSteps(Driver):
    """The steps, each by the page's button or by the API."""

    @event(2, Purpose.CONFIRM, n=nth, page=by_page, at_once=times)
    async def confirm(self, n: int, page: bool, at_once: int) -> None:
        link = self._link(Purpose.CONFIRM, n)
        if await self._use(link, page, at_once):
            account = link.owner
            if link.pending and link.pending[1] is not account.password:
                self._end_all(account)
                account.names, account.password = link.pending
            account.confirmed = True

    @event(2, Purpose.RESET, n=nth, new=words, page=by_page, at_once=times, now=mailed)
    async def reset_password(self, n: int, new: str, page: bool, at_once: int, now: bool) -> None:
        link = self._link(Purpose.RESET, n)
        if await self._use(link, page, at_once, new):
            link.owner.password, link.owner.confirmed = Password(new), True
            self._end_all(link.owner)
            self._will_mail(link.owner, "Your password has been changed")
        await self._work(now)

    @event(2, Purpose.INVITE, n=nth, password=words, page=by_page, at_once=times)
    async def accept_invitation(self, n: int, password: str, page: bool, at_once: int) -> None:
        link = self._link(Purpose.INVITE, n)
        if await self._use(link, page, at_once, password):
            link.owner.password, link.owner.confirmed = Password(password), True
            self._end_all(link.owner)

    @event(2, Purpose.CHANGE_EMAIL, n=nth, page=by_page, at_once=times, session=st.none() | nth)
    async def confirm_change_of_email(
        self, n: int, page: bool, at_once: int, session: int | None
    ) -> None:
        link = self._link(Purpose.CHANGE_EMAIL, n)
        by = (
            self._session(session)
            if page and at_once == 1 and session is not None and self.sessions
            else None
        )
        is_here = by is not None and by.owner is link.owner and self._is_recognised(by, page)
        if response := await self._use(link, page, at_once, by=by):
            self._move(link)
            self._end_all(link.owner, REVOCABLE - {Purpose.TOKEN})
            if by and is_here:
                await self._begin(link.owner, page, response, remember=by.remember, shown=by.shown)
            else:
                assert cookie_of(response) in (None, by and by.secret)

    @event(2, Purpose.OBJECT, n=nth, page=by_page, at_once=times)
    async def object_to_change_of_email(self, n: int, page: bool, at_once: int) -> None:
        link = self._link(Purpose.OBJECT, n)
        if response := await self._use(link, page, at_once):
            self._move(link)
            link.owner.password = None
            self._end_all(link.owner)
            where = response.headers["Location"] if page else (await response.get_json())["token"]
            proof = self._new_link(Purpose.RESET, link.owner)
            proof.secret, proof.mailed_to = where.rpartition("/")[2], link.mailed_to
            self.links[Purpose.RESET].append(proof)

    @event(kind=st.sampled_from(list(LINKS)), n=nth, other=st.sampled_from(list(LINKS)))
    async def look_at_a_link_and_use_it_for_something_else(
        self, kind: Purpose, n: int, other: Purpose
    ) -> None:
        if not self.links[kind]:
            return
        link = self._link(kind, n)
        status, _ = await self._send(LINKS[kind].show(str(link.secret)))
        assert status == (200 if self._is_alive(link) else 410)
        if other is not kind:
            request = LINKS[other].use(str(link.secret), PASSWORDS[0], by_page=API)
            status, _ = await self._send(request)
            assert status == 410
