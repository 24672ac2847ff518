"""Steps of people who have an account: they see to it, log in and out, and delete it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from sqlalchemy import select

from app.auth.models import Credential, Purpose
from app.auth.tokens import digest, new_api_token
from app.database import db
from tests.accounts.any_order.driver import Driver
from tests.accounts.any_order.events import (
    bad_guesses,
    by_page,
    event,
    guesses,
    names,
    nth,
    spelled,
)
from tests.accounts.any_order.model import Account, Proof, knows, right
from tests.accounts.surfaces import (
    DELETE_ACCOUNT,
    DOWNLOAD_DATA,
    END_OTHER_SESSIONS,
    END_SESSION,
    LOG_IN,
    LOG_OUT,
    REAUTHENTICATE,
    RENAME,
    SEE_ACCOUNT,
)
from tests.factories.tokens import token_row


class SessionSteps(Driver):
    """The steps, what is cheap first: the first example is made of the first one alone."""

    @event(n=nth, what=st.integers(0, 3), guess=guesses, name=names, page=by_page)
    async def see_to_ones_account(
        self, n: int, what: int, guess: str | None, name: tuple[str, str], page: bool
    ) -> None:
        by = self._session(n)
        if what == 0:
            await self._look_at_ones_account(by, page)
        elif what == 1:
            await self._download_ones_data(by, page)
        elif what == 2:
            await self._show_ones_password(by, guess, page)
        else:
            await self._rename(by, name, page)

    async def _look_at_ones_account(self, by: Proof, page: bool) -> None:
        recognised = self._is_recognised(by, page)
        status, response = await self._answer(SEE_ACCOUNT, page, by=by)
        assert status == (200 if recognised else 401)
        if recognised and not page:
            seen = await response.get_json()
            found = (
                seen["email"],
                (seen["first_name"], seen["last_name"]),
                seen["confirmed"],
                seen["role"],
            )
            assert found == (by.user.email, by.user.names, by.user.confirmed, "User")

    async def _download_ones_data(self, by: Proof, page: bool) -> None:
        status, response = await self._answer(DOWNLOAD_DATA, page, by=by)
        if not self._is_recognised(by, page):
            assert status == 401
        elif by.shown and by.shown > self.clock.time - timedelta(
            seconds=self.settings.REAUTHENTICATE_AFTER
        ):
            assert (await response.get_json())["account"]["email"] == by.user.email
        else:
            assert (
                "/account/reauthenticate" in response.headers["Location"] if page else status == 403
            )

    async def _show_ones_password(self, by: Proof, guess: str | None, page: bool) -> None:
        password = guess or right(by.user)
        expected = self._expected(by, page, password)
        fields = {"password": password}
        assert await self._status(REAUTHENTICATE, page, fields, by=by) == expected
        if expected == 200:
            by.shown = self.clock.time

    async def _rename(self, by: Proof, name: tuple[str, str], page: bool) -> None:
        fields = {"first_name": name[0], "last_name": name[1]}
        expected = self._expected(by, page, tokens_too=True)
        assert await self._status(RENAME, page, fields, by=by) == expected
        if expected == 200:
            by.user.names = name

    @event(2, email=spelled, guess=guesses, remember=st.booleans(), page=by_page, n=st.none() | nth)
    async def log_in(
        self, email: str, guess: str | None, remember: bool, page: bool, n: int | None
    ) -> None:
        carried = self._session(n) if n is not None and self.sessions else None
        account = self._at(email)
        await self._log_in(
            account, email, guess or right(account), page, remember=remember, carried=carried
        )

    async def _log_in(
        self,
        account: Account | None,
        email: str,
        password: str,
        page: bool,
        *,
        remember: bool = False,
        carried: Proof | None = None,
    ) -> None:
        fields: dict[str, Any] = {"email": email, "password": password}
        if remember:
            fields["remember_me"] = True
        status, response = await self._answer(LOG_IN, page, fields, by=carried, guarded=False)
        is_right = account is not None and not account.disabled and knows(account, password)
        assert status == (200 if is_right else 401)
        if account and is_right:
            await self._begin(
                account,
                page,
                response,
                remember=remember,
                shown=self.clock.time,
                replaces=carried,
            )
            self._remember(account)

    @event(n=nth, which=st.sampled_from(["this", "others", "one"]), other=nth, page=by_page)
    async def end_sessions(self, n: int, which: str, other: int, page: bool) -> None:
        by = self._session(n)
        if which == "this":
            await self._log_out(by, page)
        elif which == "others":
            await self._end_other_sessions(by, page)
        else:
            await self._end_a_session(by, self._session(other), page)

    async def _log_out(self, by: Proof, page: bool) -> None:
        expected = self._expected(by, page)
        assert await self._status(LOG_OUT, page, by=by) == expected
        if expected == 200:
            self._end(by)

    async def _end_other_sessions(self, by: Proof, page: bool) -> None:
        expected = self._expected(by, page)
        assert await self._status(END_OTHER_SESSIONS, page, by=by) == expected
        if expected == 200:
            self._end_all(by.user, {Purpose.SESSION}, but=by)
            self._end_all(by.user, {Purpose.DEVICE}, but=self._device(by.user))

    async def _end_a_session(self, by: Proof, which: Proof, page: bool) -> None:
        """End one of one's own sessions, or try to end somebody else's."""
        expected = self._expected(by, page)
        is_ones_own = (
            which.owner is by.owner and which.purpose is Purpose.SESSION and self._is_alive(which)
        )
        if expected == 200 and not is_ones_own:
            expected = 404
        assert which.secret
        async with db.session() as session:
            query = select(Credential.id).where(Credential.digest == digest(which.secret))
            identifier = (await session.execute(query)).scalar_one_or_none() or UUID(int=0)
        assert await self._status(END_SESSION, page, by=by, id=identifier) == expected
        if expected == 200:
            self._end(which)

    @event(n=nth, guess=bad_guesses, page=by_page)
    async def delete_ones_account(self, n: int, guess: str | None, page: bool) -> None:
        by = self._session(n)
        password = guess or right(by.user)
        expected = self._expected(by, page, password)
        fields = {"password": password}
        assert await self._status(DELETE_ACCOUNT, page, fields, by=by) == expected
        if expected == 200:
            self.accounts.remove(by.user)
            if by.user.confirmed:  # else they may be somebody else's, who owns the address
                self._end_confirmations(by.user.email)

    @event(n=nth)
    async def get_an_api_token(self, n: int) -> None:
        owner = self._session(n).user
        if owner in self.accounts and not owner.disabled:
            await self._get_an_api_token(owner)

    async def _get_an_api_token(self, owner: Account) -> None:
        now = self.clock.time
        secret = new_api_token()
        token = Proof(Purpose.TOKEN, owner, now, now + timedelta(days=30), secret, used=now)
        self.sessions.append(token)
        row = token_row(owner.id, secret)
        row.created_at = row.last_used_at = now
        row.expires_at = token.expires
        async with db.transaction() as session:
            session.add(row)
