"""Steps that mail something: registrations, invitations, new passwords, changes of email."""

from datetime import datetime

import pytest

from app.accounts import service
from app.auth.models import Purpose
from tests.accounts.any_order.driver import Driver
from tests.accounts.any_order.events import (
    by_page,
    emails,
    event,
    guesses,
    mailed,
    names,
    nth,
    often_late,
    spelled,
    words,
)
from tests.accounts.any_order.model import (
    Account,
    Mail,
    Password,
    Proof,
    already_registered,
    normal,
    right,
)
from tests.accounts.surfaces import (
    CHANGE_PASSWORD,
    LINKS,
    REGISTER,
    REQUEST_EMAIL_CHANGE,
    REQUEST_RESET,
    RESEND_CONFIRMATION,
)
from tests.factories.people import invite


class MailSteps(Driver):
    """The steps, each followed by the worker at once or later."""

    @event(email=spelled, password=words, name=names, page=by_page, now=mailed)
    async def register(
        self, email: str, password: str, name: tuple[str, str], page: bool, now: bool
    ) -> None:
        await self._register(email, password, name, page)
        await self._work(now)

    async def _register(self, email: str, password: str, name: tuple[str, str], page: bool) -> None:
        fields = {"first_name": name[0], "last_name": name[1], "email": email, "password": password}
        assert await self._status(REGISTER, page, fields) == 200
        account = None
        if self._at(email) is None:
            account = Account(normal(email), name, Password(password))
            self.accounts.append(account)
            self._remember(account)
        self._will_say_what_to_do(normal(email), account)

    def _will_say_what_to_do(self, email: str, registration: Account | None) -> None:
        """Mail the owner of an address for which somebody has registered, as things stand then."""
        asked = self.clock.time

        def mail() -> Mail | None:
            account = self._at(email)
            if account and account.disabled:
                return None
            if account and account.confirmed:
                return None if account is registration else already_registered(account)
            if account and account.is_invited:
                return self._invitation(account, asked)
            return self._confirmation(email, registration, asked)

        self.queue.append(mail)
        self.asked[mail] = email

    def _invitation(self, account: Account, asked: datetime) -> Mail | None:
        link = self._new_link(Purpose.INVITE, account, account.email, asked)
        mail = account.email, LINKS[Purpose.INVITE].subject, "", link
        return mail if self._is_alive(link) else None

    @event(n=nth, page=by_page, now=mailed)
    async def ask_for_another_confirmation(self, n: int, page: bool, now: bool) -> None:
        by = self._session(n)
        status = await self._status(RESEND_CONFIRMATION, page, by=by)
        assert status == (200 if self._is_recognised(by, page) else 401)
        if status == 200 and not by.user.confirmed:
            self._will_say_what_to_do(by.user.email, by.user)
        await self._work(now)

    @event(email=emails, now=mailed)
    async def be_invited(self, email: str, now: bool) -> None:
        await self._be_invited(email)
        await self._work(now)

    async def _be_invited(self, email: str) -> None:
        present = self._at(email)
        if present and (present.confirmed or present.is_invited or present.disabled):
            with pytest.raises(service.EmailTaken):
                await invite(email)
            return
        if present:  # anybody may have registered it
            self.accounts.remove(present)
        await invite(email)
        account = Account(email, ("Kim", "Guest"), None)
        self.accounts.append(account)
        self._prepare(Purpose.INVITE, account)

    @event(2, n=nth, guess=guesses, new=words, page=by_page, now=often_late)
    async def change_password(
        self, n: int, guess: str | None, new: str, page: bool, now: bool
    ) -> None:
        by = self._session(n)
        old = guess or right(by.user)
        expected = self._expected(by, page, old)
        fields = {"old_password": old, "new_password": new}
        status, response = await self._answer(CHANGE_PASSWORD, page, fields, by=by)
        assert status == expected
        if expected == 200:
            by.user.password = Password(new)
            self._end_all(by.user)
            if by.user.confirmed:  # else the links to the address may be somebody else's
                self._end_confirmations(by.user.email)
            self._will_notify(by.user, "Your password has been changed")
            await self._begin(by.user, page, response, remember=by.remember, shown=self.clock.time)
            self._remember(by.user)
        await self._work(now)

    @event(email=spelled, page=by_page, now=mailed)
    async def forget_password(self, email: str, page: bool, now: bool) -> None:
        await self._forget_password(email, page)
        await self._work(now)

    async def _forget_password(self, email: str, page: bool) -> None:
        assert await self._status(REQUEST_RESET, page, {"email": email}) == 200
        if account := self._at(email):
            to, asked = account.email, self.clock.time

            def mail() -> Mail | None:
                return self._reset(account, to, asked)

            self.queue.append(mail)
            self.asked[mail] = to

    def _reset(self, account: Account, to: str, asked: datetime) -> Mail | None:
        if account not in self.accounts or account.email != to or account.disabled:
            return None
        if account.is_invited:
            return self._invitation(account, asked)
        if not account.confirmed:
            return self._confirmation(to, None, asked)
        link = self._new_link(Purpose.RESET, account, to, asked)
        mail = to, LINKS[Purpose.RESET].subject, account.greeting, link
        return mail if self._is_alive(link) else None

    @event(2, n=nth, guess=guesses, email=spelled, page=by_page, now=mailed)
    async def ask_for_another_email(
        self, n: int, guess: str | None, email: str, page: bool, now: bool
    ) -> None:
        by = self._session(n)
        await self._ask_for_another_email(by, guess or right(by.user), email, page)
        await self._work(now)

    async def _ask_for_another_email(
        self, by: Proof, password: str, email: str, page: bool
    ) -> None:
        expected = self._expected(by, page, password)
        if expected != 401 and normal(email) == by.user.email:
            expected = 409
        fields = {"email": email, "password": password}
        assert await self._status(REQUEST_EMAIL_CHANGE, page, fields, by=by) == expected
        if expected == 200:
            self._prepare(Purpose.CHANGE_EMAIL, by.user, normal(email))
            if by.user.confirmed:
                self._prepare(Purpose.OBJECT, by.user)
