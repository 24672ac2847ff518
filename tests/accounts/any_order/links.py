"""Steps with mailed links, any that was ever mailed, used once or twice at the same moment."""

from hypothesis import strategies as st

from app.auth.models import Purpose
from tests.accounts.any_order.driver import Driver, cookie_of
from tests.accounts.any_order.events import (
    by_page,
    event,
    mailed,
    names,
    nth,
    often_late,
    shown,
    times,
    words,
)
from tests.accounts.any_order.model import (
    EVERYTHING,
    PASSWORDS,
    REVOCABLE,
    Account,
    Password,
    Proof,
    knows,
    right,
)
from tests.accounts.surfaces import API, LINKS, SET_UP


class LinkSteps(Driver):
    """The steps, each by the page's button or by the API."""

    @event(
        3, Purpose.CONFIRM, n=nth, guess=shown, page=by_page, at_once=times, session=st.none() | nth
    )
    async def confirm(
        self, n: int, guess: str | bool, page: bool, at_once: int, session: int | None
    ) -> None:
        link = self._link(Purpose.CONFIRM, n)
        account, by = link.registration, self._carried(session)
        password = right(account) if guess is True else guess or None
        is_there = account in self.accounts and account is not None and account.email == link.email
        is_here = self._is_signed_in(by, page, account)
        is_shown = is_here or (
            account and (known := self._device(account)) and self._is_alive(known)
        )
        expected = self._outcome(link)
        if expected == 200 and not is_there:
            expected = 409
        elif expected == 200 and account and not is_shown:
            expected = 200 if password and knows(account, password) else 403
        request = LINKS[Purpose.CONFIRM].use(str(link.secret), shown=password, by_page=page)
        response = await self._use(link, request, at_once, expected=expected, by=by)
        if response and account:
            account.confirmed = True
            self.proven[account].add(str(link.mailed_to))
            if is_here:
                assert cookie_of(response) is None, "the session goes on"
                return
            typed = None if is_shown else self.clock.time
            await self._begin(account, page, response, shown=typed, replaces=by)
            self._remember(account)

    @event(
        3,
        Purpose.CONFIRM,
        n=nth,
        name=names,
        password=words,
        page=by_page,
        at_once=times,
        session=st.none() | nth,
    )
    async def set_up(
        self,
        n: int,
        name: tuple[str, str],
        password: str,
        page: bool,
        at_once: int,
        session: int | None,
    ) -> None:
        link, by = self._link(Purpose.CONFIRM, n), self._carried(session)
        chosen = {"first_name": name[0], "last_name": name[1]}
        request = SET_UP.use(str(link.secret), password, by_page=page, **chosen)
        if response := await self._use(link, request, at_once, by=by):
            if former := self._at(str(link.email)):
                self.accounts.remove(former)
            account = Account(str(link.email), name, Password(password), confirmed=True)
            self.accounts.append(account)
            self.proven[account] = {str(link.mailed_to)}
            await self._begin(account, page, response, shown=self.clock.time, replaces=by)
            self._remember(account)

    @event(2, Purpose.RESET, n=nth, new=words, page=by_page, at_once=times, now=often_late)
    async def reset_password(self, n: int, new: str, page: bool, at_once: int, now: bool) -> None:
        link = self._link(Purpose.RESET, n)
        if await self._choose_password(link, new, page, at_once):
            self._will_notify(link.user, "Your password has been changed")
        await self._work(now)

    @event(2, Purpose.INVITE, n=nth, password=words, page=by_page, at_once=times)
    async def accept_invitation(self, n: int, password: str, page: bool, at_once: int) -> None:
        await self._choose_password(self._link(Purpose.INVITE, n), password, page, at_once)

    async def _choose_password(self, link: Proof, password: str, page: bool, at_once: int) -> bool:
        request = LINKS[link.purpose].use(str(link.secret), password, by_page=page)
        if await self._use(link, request, at_once) is None:
            return False
        link.user.password, link.user.confirmed = Password(password), True
        self._end_all(link.user)
        self._end_confirmations(link.user.email)
        self._remember(link.user)
        return True

    @event(
        3,
        Purpose.CHANGE_EMAIL,
        n=nth,
        guess=shown,
        page=by_page,
        at_once=times,
        session=st.none() | nth,
    )
    async def confirm_change_of_email(
        self, n: int, guess: str | bool, page: bool, at_once: int, session: int | None
    ) -> None:
        link = self._link(Purpose.CHANGE_EMAIL, n)
        by = self._carried(session) if at_once == 1 else None
        password = right(link.owner) if guess is True else guess or None
        is_here = self._is_signed_in(by, page, link.owner)
        expected = self._outcome(link)
        if expected != 410 and not is_here and not (password and knows(link.user, password)):
            expected = 403
        if by and by.purpose is Purpose.TOKEN and self._is_recognised(by, page):
            expected = 403
        request = LINKS[Purpose.CHANGE_EMAIL].use(str(link.secret), shown=password, by_page=page)
        if response := await self._use(link, request, at_once, expected=expected, by=by):
            self._move(link)
            self._end_all(link.user, REVOCABLE - {Purpose.TOKEN})
            if not is_here:
                await self._begin(link.user, page, response, shown=self.clock.time, replaces=by)
                self._remember(link.user)
            elif by:
                await self._begin(link.user, page, response, remember=by.remember, shown=by.shown)

    @event(2, Purpose.OBJECT, n=nth, page=by_page, at_once=times, now=mailed)
    async def object_to_change_of_email(self, n: int, page: bool, at_once: int, now: bool) -> None:
        link = self._link(Purpose.OBJECT, n)
        request = LINKS[Purpose.OBJECT].use(str(link.secret), by_page=page)
        lost = link.user.email if link.user.confirmed else link.email
        if response := await self._use(link, request, at_once):
            if lost != link.email:
                self._will_notify(link.user, "Your address is no longer used here", name="")
            self._move(link)
            link.user.password = None
            self._end_all(link.user, EVERYTHING - {Purpose.OBJECT})
            where = response.headers["Location"] if page else (await response.get_json())["token"]
            proof = self._new_link(Purpose.RESET, link.user, link.user.email)
            proof.secret, proof.mailed_to = where.rpartition("/")[2], link.mailed_to
            self.links[Purpose.RESET].append(proof)
        await self._work(now)

    @event(kind=st.sampled_from(list(LINKS)), n=nth, other=st.sampled_from(list(LINKS)))
    async def look_at_a_link_and_use_it_for_something_else(
        self, kind: Purpose, n: int, other: Purpose
    ) -> None:
        if not self.links[kind]:
            return
        link = self._link(kind, n)
        status, _ = await self._send(LINKS[kind].show(str(link.secret)))
        assert status == (200 if self._is_usable(link) else 410)
        if other is not kind:
            request = LINKS[other].use(str(link.secret), PASSWORDS[0], by_page=API)
            status, _ = await self._send(request)
            assert status == 410

    def _carried(self, n: int | None) -> Proof | None:
        """Return the session that a link is opened in, if there is one."""
        return self._session(n) if n is not None and self.sessions else None
