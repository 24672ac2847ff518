"""The flows of accounts in any order.

Hypothesis tries sequences, and a model of a page says what comes of each step.

The default run tries the same sequences every time. `HYPOTHESIS_PROFILE=long` tries others, for
some minutes:

    HYPOTHESIS_PROFILE=long python -m pytest tests/accounts/test_any_order.py
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import wraps
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, note
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from quart import Quart
from quart.wrappers import Response
from sqlalchemy import delete, select, update

from app.accounts import service
from app.auth.hashing import passwords
from app.auth.models import Credential, Purpose, Role, User
from app.auth.tokens import digest, new_secret
from app.config import Config
from app.database import Base, db
from app.jobs.models import Job
from app.jobs.queue import KINDS, enqueue
from app.limits import Limits
from app.mail.message import Email
from app.redis import redis
from tests.factories.people import PASSWORD, insert_roles, invite, make_person

COMMON: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "print_blob": True,
    "phases": [Phase.generate, Phase.shrink],
    "suppress_health_check": list(HealthCheck),
}
PROFILES = {
    # From the eleventh on Hypothesis varies the examples before: a few long ones see more.
    "default": hypothesis(max_examples=10, stateful_step_count=100, derandomize=True, **COMMON),
    "long": hypothesis(max_examples=500, stateful_step_count=60, derandomize=False, **COMMON),
}

# Few, so that they meet again and again.
EMAILS = [f"{name}@example.com" for name in ("ada", "bob", "cyd", "dan", "eve")]
PASSWORDS = [PASSWORD, "nine green lanterns hum", "three copper anchors drift"]
NAMES = [("Robin", "Example"), ("Kim", "Guest"), ("Mallory", "Sly")]

# Odd, so that however many of them pass, no lifetime ends in that very moment: those are multiples
# of five minutes.
ODD = timedelta(seconds=7)
MINUTES, HOURS, DAYS = timedelta(minutes=5) + ODD, timedelta(hours=5) + ODD, timedelta(days=6) + ODD
SPANS = [MINUTES, MINUTES, timedelta(minutes=30) + ODD, HOURS, HOURS, timedelta(days=1) + ODD, DAYS]

LINKS = {  # the subject of its mail, where its page begins, and the endpoint that takes its token
    Purpose.CONFIRM: (
        "Confirm your account",
        "/account/confirm-account/",
        "/api/v1/account/confirmation",
    ),
    Purpose.RESET: (
        "Reset your password",
        "/account/reset-password/",
        "/api/v1/account/password/reset",
    ),
    Purpose.CHANGE_EMAIL: (
        "Confirm your new email",
        "/account/manage/change-email/",
        "/api/v1/account/email/confirmation",
    ),
    Purpose.INVITE: (
        "You are invited to join",
        "/account/join-from-invite/",
        "/api/v1/account/invitation",
    ),
    Purpose.OBJECT: (
        "Your email address is about to change",
        "/account/keep-email/",
        "/api/v1/account/email/objection",
    ),
}
EVERYTHING = frozenset(Purpose) - {Purpose.OBJECT}  # what a new password ends
TO_THIS_ADDRESS = [Purpose.CONFIRM, Purpose.RESET, Purpose.INVITE]  # worth nothing at another
WITH_PASSWORD = {Purpose.RESET: "new_password", Purpose.INVITE: "password"}


class Clock:
    """The app's time: a millisecond passes with each look at it, and more when a test says so."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self, zone: tzinfo) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time.astimezone(zone)


@dataclass(eq=False)
class Password:
    """Stands for a hash: of the same words there may be several."""

    words: str


@dataclass(eq=False)
class Account:
    """What is known about an account."""

    email: str
    names: tuple[str, str]
    password: Password | None
    confirmed: bool = False
    disabled: bool = False
    id: int = 0

    @property
    def is_invited(self) -> bool:
        return self.password is None and not self.confirmed


@dataclass(eq=False)
class Proof:
    """A session, an API token or a link, alive or not.

    A link without a secret is one that a mail is made from.
    """

    purpose: Purpose
    owner: Account
    created: datetime
    expires: datetime
    secret: str | None = None
    # Of links: the address it is about, the one it was mailed to, and what comes into force with
    # it.
    email: str | None = None
    mailed_to: str | None = None
    pending: tuple[tuple[str, str], Password] | None = None
    # Of sessions and tokens: when it was used and the password shown.
    used: datetime | None = None
    shown: datetime | None = None
    remember: bool = False


Mail = tuple[str, str, Proof | None]  # to whom, about what, with which link
Step = Callable[..., Coroutine[Any, Any, None]]


EVENTS: list[st.SearchStrategy[tuple[str, dict[str, Any]]]] = []
NEEDED: dict[str, Purpose] = {}


def event(
    weight: int = 1, needs: Purpose | None = None, **values: st.SearchStrategy[Any]
) -> Callable[[Step], Step]:
    """Something that may happen, as soon as there has been a link that it needs.

    They are not rules of their own, of which Hypothesis leaves most out in an example: that finds
    less in few examples.
    """

    def declare(method: Step) -> Step:
        EVENTS.extend([st.tuples(st.just(method.__name__), st.fixed_dictionaries(values))] * weight)
        if needs:
            NEEDED[method.__name__] = needs
        return method

    return declare


def in_the_loop(method: Step) -> Callable[..., None]:
    @wraps(method)
    def run(self: "Flows", **values: Any) -> None:
        self.run(method(self, **values))

    return run


often = [EMAILS[n] for n in (0, 0, 1, 1, 2, 3, 4)]
emails = st.sampled_from(often)
spelled = st.sampled_from(
    [spelling(email) for email in often for spelling in (str.lower, str.title, str.upper)]
)
words = st.sampled_from(PASSWORDS)
guesses = st.sampled_from([*[None] * 9, *PASSWORDS])  # none: the right one
bad_guesses = st.sampled_from([None, *PASSWORDS])
names = st.sampled_from(NAMES)
nth = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, -1, -2, -3, -5])  # see `_pick`
by_page = st.booleans()
mailed = st.sampled_from(
    [True, True, True, False]
)  # at once, or whenever the worker comes round to it
times = st.sampled_from([1, 1, 1, 2])  # at the same moment


class Flows(RuleBasedStateMachine):
    """People who do what they like, and what must come of it."""

    def __init__(
        self,
        app: Quart,
        settings: Config,
        clock: Clock,
        outbox: list[Email],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__()
        self.app, self.settings, self.clock, self.outbox, self.loop = (
            app,
            settings,
            clock,
            outbox,
            loop,
        )
        self._forget()

    def _forget(self) -> None:
        self.accounts: list[Account] = []
        self.sessions: list[Proof] = []  # and API tokens
        self.links: dict[Purpose, list[Proof]] = {purpose: [] for purpose in LINKS}
        self.prepared: list[Proof] = []
        self.queue: list[
            Callable[[], Mail | None]
        ] = []  # what the worker will send, as things stand by then
        self.hashes: dict[str, Password] = {}
        # What must be so whatever the model says: addresses that an account has proven, and had.
        self.proven: dict[int, set[str]] = {}
        self.had: dict[int, str] = {}
        self.may_move: set[tuple[int, str]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        async def within() -> None:
            async with self.app.app_context():
                await work

        self.loop.run_until_complete(within())

    @initialize(busy=st.sampled_from([True, True, True, False]))
    @in_the_loop
    async def begin(self, busy: bool) -> None:
        await self._begin_anew(busy)

    async def _begin_anew(self, busy: bool) -> None:
        """Two people, each logged in.

        And links of every kind: two to one address, three for one that is registered.
        """
        await empty(self.app)
        self._forget()
        self.clock.time = datetime.now(UTC)
        for email in EMAILS[:2]:
            person = await make_person(email=email)
            account = Account(email, NAMES[0], Password(PASSWORD), confirmed=True, id=person.id)
            self.accounts.append(account)
            self.proven[person.id] = {email}
            await self._log_in(account, email, PASSWORD, page=False)
            if busy:
                await self._ask_for_another_email(
                    self.sessions[-1], PASSWORD, EMAILS[2], page=False
                )
        if busy:
            await self._forget_password(EMAILS[0], page=False)
            await self._get_an_api_token(self.accounts[0])
            for name, password in zip(NAMES, PASSWORDS, strict=True):
                await self._register(EMAILS[3], password, name, page=False)
            await self._log_in(self.accounts[2], EMAILS[3], PASSWORDS[0], page=False)
            await self._be_invited(EMAILS[4])
            await self._ask_for_another_email(self.sessions[0], PASSWORD, EMAILS[2], page=False)
        await self._work(True)

    @rule(happening=st.deferred(lambda: st.one_of(EVENTS)))
    @in_the_loop
    async def happens(self, happening: tuple[str, dict[str, Any]]) -> None:
        name, values = happening
        if name not in NEEDED or self.links[NEEDED[name]]:
            await getattr(self, name)(**values)

    # What people do, what is cheap first: the first example is made of that alone

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
        status, response = await self._answer(
            page, "GET /account/manage", "GET /api/v1/account", by=by
        )
        assert status == (200 if recognised else 401)
        if recognised and not page:
            seen = await response.get_json()
            found = (
                seen["email"],
                (seen["first_name"], seen["last_name"]),
                seen["confirmed"],
                seen["role"],
            )
            assert found == (by.owner.email, by.owner.names, by.owner.confirmed, service.USER)

    async def _download_ones_data(self, by: Proof, page: bool) -> None:
        status, response = await self._answer(
            page, "GET /account/data", "GET /api/v1/account/data", by=by
        )
        if not self._is_recognised(by, page):
            assert status == 401
        elif by.shown and by.shown > self.clock.time - timedelta(
            seconds=self.settings.REAUTHENTICATE_AFTER
        ):
            assert (await response.get_json())["account"]["email"] == by.owner.email
        else:
            assert (
                "/account/reauthenticate" in response.headers["Location"] if page else status == 403
            )

    async def _show_ones_password(self, by: Proof, guess: str | None, page: bool) -> None:
        password = guess or right(by.owner)
        expected = self._expected(by, page, password)
        fields = {"password": password}
        api = "POST /api/v1/session/reauthentication"
        assert await self._post(page, "/account/reauthenticate", api, fields, by=by) == expected
        if expected == 200:
            by.shown = self.clock.time

    async def _rename(self, by: Proof, name: tuple[str, str], page: bool) -> None:
        fields = {"first_name": name[0], "last_name": name[1]}
        expected = self._expected(by, page)
        assert (
            await self._post(page, "/account/manage", "PATCH /api/v1/account", fields, by=by)
            == expected
        )
        if expected == 200:
            by.owner.names = name

    @event(email=spelled, password=words, name=names, page=by_page, now=mailed)
    async def register(
        self, email: str, password: str, name: tuple[str, str], page: bool, now: bool
    ) -> None:
        await self._register(email, password, name, page)
        await self._work(now)

    async def _register(self, email: str, password: str, name: tuple[str, str], page: bool) -> None:
        fields = {"first_name": name[0], "last_name": name[1], "email": email, "password": password}
        assert (
            await self._post(
                page, "/account/register", "POST /api/v1/account", fields, repeat="password"
            )
            == 200
        )
        account, chosen = self._at(email), Password(password)
        if account is None:
            account = Account(email.lower(), name, chosen)
            self.accounts.append(account)
        if account.confirmed:
            self._will_mail(account, "You already have an account")
        elif account.is_invited:
            self._prepare(Purpose.INVITE, account)
        else:
            self._prepare(Purpose.CONFIRM, account, pending=(name, chosen))

    @event(n=nth, page=by_page, now=mailed)
    async def ask_for_another_confirmation(self, n: int, page: bool, now: bool) -> None:
        by = self._session(n)
        status = await self._post(
            page, "/account/confirm-account", "POST /api/v1/account/confirmation/mail", by=by
        )
        assert status == (200 if self._is_recognised(by, page) else 401)
        if status == 200 and not by.owner.confirmed:
            self._prepare(Purpose.CONFIRM, by.owner)
        await self._work(now)

    @event(email=emails, now=mailed)
    async def be_invited(self, email: str, now: bool) -> None:
        await self._be_invited(email)
        await self._work(now)

    async def _be_invited(self, email: str) -> None:
        if self._at(email):
            with pytest.raises(service.EmailTaken):
                await invite(email)
            return
        await invite(email)
        account = Account(email, ("Kim", "Guest"), None)
        self.accounts.append(account)
        self._prepare(Purpose.INVITE, account)

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
        stays = carried is not None and self._is_recognised(carried, page)
        fields: dict[str, Any] = {"email": email, "password": password}
        if remember:
            fields["remember_me"] = True
        status, response = await self._answer(
            page, "/account/login", "POST /api/v1/session", fields, by=carried, guarded=False
        )
        if page and carried and stays:
            assert status == 200
            assert cookie_of(response) in (None, carried.secret), (
                "a remembered one may be renewed, no more"
            )
            return
        is_right = account is not None and not account.disabled and knows(account, password)
        assert status == (200 if is_right else 401)
        if account and is_right:
            if carried and carried.purpose is Purpose.SESSION:
                self._end(carried)
            await self._begin(account, page, response, remember=remember, shown=self.clock.time)

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
        recognised = self._is_recognised(by, page)
        assert await self._post(page, "/account/logout", "DELETE /api/v1/session", by=by) == (
            200 if recognised else 401
        )
        if recognised and by.purpose is Purpose.SESSION:
            self._end(by)

    async def _end_other_sessions(self, by: Proof, page: bool) -> None:
        expected = self._expected(by, page)
        form, api = "/account/sessions/end-others", "DELETE /api/v1/account/sessions"
        assert await self._post(page, form, api, by=by) == expected
        if expected == 200:
            self._end_all(by.owner, {Purpose.SESSION}, but=by)

    async def _end_a_session(self, by: Proof, which: Proof, page: bool) -> None:
        """One's own, or somebody else's."""
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
        form, api = (
            f"/account/sessions/{identifier}/end",
            f"DELETE /api/v1/account/sessions/{identifier}",
        )
        assert await self._post(page, form, api, by=by) == expected
        if expected == 200:
            self._end(which)

    @event(2, n=nth, guess=guesses, new=words, page=by_page, now=mailed)
    async def change_password(
        self, n: int, guess: str | None, new: str, page: bool, now: bool
    ) -> None:
        by = self._session(n)
        old = guess or right(by.owner)
        expected = self._expected(by, page, old)
        fields = {"old_password": old, "new_password": new}
        form, api = "/account/manage/change-password", "POST /api/v1/account/password"
        status, response = await self._answer(page, form, api, fields, by=by, repeat="new_password")
        assert status == expected
        if expected == 200:
            by.owner.password = Password(new)
            self._end_all(by.owner)
            self._will_mail(by.owner, "Your password has been changed")
            await self._begin(by.owner, page, response, remember=by.remember, shown=self.clock.time)
        await self._work(now)

    @event(email=spelled, page=by_page, now=mailed)
    async def forget_password(self, email: str, page: bool, now: bool) -> None:
        await self._forget_password(email, page)
        await self._work(now)

    async def _forget_password(self, email: str, page: bool) -> None:
        api = "POST /api/v1/account/password/reset/mail"
        assert await self._post(page, "/account/reset-password", api, {"email": email}) == 200
        if account := self._at(email):
            self.queue.append(lambda: self._reset(account))

    @event(2, n=nth, guess=guesses, email=spelled, page=by_page, now=mailed)
    async def ask_for_another_email(
        self, n: int, guess: str | None, email: str, page: bool, now: bool
    ) -> None:
        by = self._session(n)
        await self._ask_for_another_email(by, guess or right(by.owner), email, page)
        await self._work(now)

    async def _ask_for_another_email(
        self, by: Proof, password: str, email: str, page: bool
    ) -> None:
        expected = self._expected(by, page, password)
        if expected != 401 and email.lower() == by.owner.email:
            expected = 409
        fields = {"email": email, "password": password}
        assert await self._post(
            page, "/account/manage/change-email", "POST /api/v1/account/email", fields, by=by
        ) == (expected)
        if expected == 200:
            if (taken := self._at(email)) and taken.confirmed:
                self._will_mail(taken, "You already have an account")
            else:
                self._prepare(Purpose.CHANGE_EMAIL, by.owner, email=email.lower())
            if by.owner.confirmed:
                self._prepare(Purpose.OBJECT, by.owner)

    @event(n=nth, guess=bad_guesses, page=by_page)
    async def delete_ones_account(self, n: int, guess: str | None, page: bool) -> None:
        by = self._session(n)
        password = guess or right(by.owner)
        expected = self._expected(by, page, password)
        fields = {"password": password}
        assert (
            await self._post(
                page, "/account/delete", "POST /api/v1/account/deletion", fields, by=by
            )
            == expected
        )
        if expected == 200:
            self.accounts.remove(by.owner)

    # What people do with links, any that they ever got

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
            self._end_all(link.owner, EVERYTHING - {Purpose.TOKEN})
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
        assert await self._post(True, f"GET {LINKS[kind][1]}{link.secret}", "") == (
            200 if self._is_alive(link) else 410
        )
        if other is not kind:
            fields = {"token": link.secret}
            if other in WITH_PASSWORD:
                fields[WITH_PASSWORD[other]] = PASSWORDS[0]
            assert await self._post(False, "", f"POST {LINKS[other][2]}", fields) == 410

    # What happens beside that

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
        """In the database, which ends nothing.

        Links to the former address are worth nothing all the same.
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

    @event(busy=st.just(True))
    async def everything_begins_anew(self, busy: bool) -> None:
        """Several short lives in one long example: Hypothesis makes few that differ."""
        await self._begin_anew(busy)

    @event(n=nth)
    async def get_an_api_token(self, n: int) -> None:
        owner = self._session(n).owner
        if owner in self.accounts:
            await self._get_an_api_token(owner)

    async def _get_an_api_token(self, owner: Account) -> None:
        now = self.clock.time
        token = Proof(Purpose.TOKEN, owner, now, now + timedelta(days=30), new_secret(), used=now)
        self.sessions.append(token)
        async with db.transaction() as session:
            values = {"purpose": token.purpose, "user_id": owner.id, "expires_at": token.expires}
            session.add(
                Credential(
                    digest=digest(str(token.secret)), last_used_at=now, created_at=now, **values
                )
            )

    # What must be so after each step

    @invariant()
    @in_the_loop
    async def the_database_agrees(self) -> None:
        async with db.session() as session:
            query = select(User, Role.name).join(Role)
            users = (await session.execute(query)).all()
            wanted = select(Credential, User.email).join(User, User.id == Credential.user_id)
            wanted = wanted.where(
                Credential.consumed_at.is_(None),
                Credential.expires_at > self.clock.time,
                User.disabled_at.is_(None),
            )
            alive = (await session.execute(wanted)).all()
        stored = {user.email: user for user, _ in users}
        assert len({email.lower() for email in stored}) == len(users), (
            "one account for each address"
        )
        assert {role for _, role in users} <= {service.USER}, "nobody becomes an administrator"
        assert sorted(stored) == sorted(account.email for account in self.accounts)
        for account in self.accounts:
            await self._compare(account, stored[account.email])
        self.may_move.clear()

        proofs = [
            *self.sessions,
            *self.prepared,
            *(link for links in self.links.values() for link in links),
        ]
        known = {digest(proof.secret): proof for proof in proofs if proof.secret}
        found = Counter(
            (email, row.purpose, row.email, known.get(row.digest)) for row, email in alive
        )
        expected = Counter(
            (proof.owner.email, str(proof.purpose), proof.email, proof if proof.secret else None)
            for proof in proofs
            if self._is_alive(proof)
        )
        assert found - expected == Counter(), "alive, though it should have ended"
        assert expected - found == Counter(), "ended, though it should go on"

    async def _compare(self, account: Account, user: User) -> None:
        account.id = account.id or user.id
        found = (
            user.id,
            (user.first_name, user.last_name),
            user.confirmed,
            user.disabled_at is not None,
        )
        assert found == (account.id, account.names, account.confirmed, account.disabled)
        proven = self.proven.setdefault(user.id, set())
        assert user.email in proven or not user.confirmed, (
            "confirmed without a link that was mailed there"
        )
        moved = self.had.get(user.id, user.email) != user.email
        assert not moved or (user.id, user.email) in self.may_move, "moved without a link"
        self.had[user.id] = user.email
        assert (user.password_hash is None) == (account.password is None)
        if (
            account.password
            and user.password_hash
            and self.hashes.get(user.password_hash) is not account.password
        ):
            for each in PASSWORDS:
                assert await passwords.verify(user.password_hash, each) == (
                    each == account.password.words
                ), each
            self.hashes[user.password_hash] = account.password

    # The model

    def _at(self, email: str) -> Account | None:
        return next((account for account in self.accounts if account.email == email.lower()), None)

    def _pick(self, proofs: list[Proof], n: int) -> Proof:
        """0 is the newest that is alive, 1 the one before it …; below 0 any of them."""
        alive = [proof for proof in proofs if self._is_alive(proof)]
        return alive[-1 - n % len(alive)] if alive and n >= 0 else proofs[n % -len(proofs)]

    def _session(self, n: int) -> Proof:
        return self._pick(self.sessions, n)

    def _link(self, purpose: Purpose, n: int) -> Proof:
        link = self._pick(self.links[purpose], n)
        note(
            f"{purpose} link of {link.owner.email} for {link.email}, "
            f"{'alive' if self._is_alive(link) else 'dead'}"
        )
        return link

    def _is_alive(self, proof: Proof) -> bool:
        return (
            proof.expires > self.clock.time
            and proof.owner in self.accounts
            and not proof.owner.disabled
        )

    def _is_recognised(self, by: Proof, page: bool) -> bool:
        return self._is_alive(by) and (by.purpose is Purpose.SESSION or not page)

    def _expected(self, by: Proof, page: bool, password: str | None = None) -> int:
        if not self._is_recognised(by, page):
            return 401
        return 200 if password is None or knows(by.owner, password) else 403

    def _end(self, *proofs: Proof) -> None:
        for proof in proofs:
            proof.expires = min(proof.expires, self.clock.time)

    def _end_all(
        self,
        account: Account,
        purposes: frozenset[Purpose] | set[Purpose] = EVERYTHING,
        but: Proof | None = None,
    ) -> None:
        proofs = [
            *self.sessions,
            *self.prepared,
            *(link for links in self.links.values() for link in links),
        ]
        self._end(
            *(p for p in proofs if p.owner is account and p.purpose in purposes and p is not but)
        )

    def _touch(self, by: Proof) -> None:
        now = self.clock.time
        if by.used and now - by.used > timedelta(seconds=self.settings.SESSION_TOUCH):
            by.used = now
            if by.purpose is Purpose.SESSION:
                by.expires = self._expiry(by.created, by.remember)

    def _expiry(self, began: datetime, remember: bool) -> datetime:
        idle = self.settings.SESSION_IDLE_REMEMBERED if remember else self.settings.SESSION_IDLE
        latest = began + timedelta(seconds=self.settings.SESSION_LIFETIME)
        return min(self.clock.time + timedelta(seconds=idle), latest)

    async def _begin(
        self,
        owner: Account,
        page: bool,
        response: Response,
        *,
        remember: bool,
        shown: datetime | None,
    ) -> None:
        secret = cookie_of(response) if page else (await response.get_json())["token"]
        assert secret
        now = self.clock.time
        session = Proof(Purpose.SESSION, owner, now, self._expiry(now, remember), secret, used=now)
        session.remember, session.shown = remember, shown
        self.sessions.append(session)

    def _new_link(self, purpose: Purpose, owner: Account, email: str | None = None) -> Proof:
        now = self.clock.time
        lifetime: int = getattr(self.settings, f"{purpose.upper()}_LIFETIME")
        return Proof(
            purpose, owner, now, now + timedelta(seconds=lifetime), email=email or owner.email
        )

    def _prepare(
        self,
        purpose: Purpose,
        owner: Account,
        *,
        email: str | None = None,
        pending: tuple[tuple[str, str], Password] | None = None,
    ) -> None:
        prepared = self._new_link(purpose, owner, email)
        prepared.pending = pending
        self.prepared.append(prepared)

        def mail() -> Mail | None:
            if not self._is_alive(prepared) or (purpose is Purpose.CONFIRM and owner.confirmed):
                return None
            return str(prepared.email), LINKS[purpose][0], replace(prepared)

        self.queue.append(mail)

    def _reset(self, account: Account) -> Mail | None:
        if account not in self.accounts or account.disabled:
            return None
        purpose = Purpose.INVITE if account.is_invited else Purpose.RESET
        return account.email, LINKS[purpose][0], self._new_link(purpose, account)

    def _will_mail(self, account: Account, subject: str) -> None:
        self.queue.append(
            lambda: (account.email, subject, None) if account in self.accounts else None
        )

    def _move(self, link: Proof) -> None:
        squatter = self._at(str(link.email))
        if squatter and squatter is not link.owner:
            self.accounts.remove(squatter)
        link.owner.email, link.owner.confirmed = str(link.email), True
        self.may_move.add((link.owner.id, str(link.mailed_to)))

    def _outcome(self, link: Proof) -> int:
        owner, other = link.owner, self._at(str(link.email))
        if not self._is_alive(link):
            return 410
        if link.purpose in (Purpose.CHANGE_EMAIL, Purpose.OBJECT):
            return 409 if other and other is not owner and other.confirmed else 200
        is_late = {
            Purpose.CONFIRM: owner.confirmed,
            Purpose.INVITE: not owner.is_invited,
            Purpose.RESET: False,
        }
        return 410 if other is not owner or is_late[link.purpose] else 200

    async def _use(
        self,
        link: Proof,
        page: bool,
        at_once: int,
        password: str | None = None,
        by: Proof | None = None,
    ) -> Response | None:
        """Use a link, once or several times at the same moment.

        Returns the answer if it has worked.
        """
        expected, owner = self._outcome(link), link.owner
        _, form, api = LINKS[link.purpose]
        fields = {} if page else {"token": link.secret}
        repeat = WITH_PASSWORD.get(link.purpose)
        if repeat:
            fields[repeat] = password
        uses = (
            self._answer(
                page,
                f"{form}{link.secret}",
                f"POST {api}",
                fields,
                by=by,
                repeat=repeat,
                guarded=False,
            )
            for _ in range(at_once)
        )
        answers = await asyncio.gather(*uses)
        statuses = sorted(status for status, _ in answers)
        assert statuses == [expected, *([410 if expected == 200 else expected] * (at_once - 1))]
        if expected != 200:
            return None
        self.proven[owner.id].add(str(link.mailed_to))
        others = [
            each
            for each in (*self.links[link.purpose], *self.prepared)
            if each.purpose is link.purpose
        ]
        self._end(
            link,
            *(
                each
                for each in others
                if each.owner is owner
                and (link.purpose is not Purpose.OBJECT or each.created >= link.created)
            ),
        )
        return next(response for status, response in answers if status == 200)

    async def _work(self, now: bool) -> None:
        """Do what the worker would, and read what has arrived."""
        if not now:
            return
        async with db.transaction() as session:
            due = (await session.execute(select(Job).order_by(Job.created_at))).scalars().all()
            await session.execute(delete(Job))
        self.outbox.clear()
        for job in due:
            await KINDS[job.name].function(**job.args)
        expected = [mail for mail in (promise() for promise in self.queue) if mail]
        self.queue.clear()
        for mail in self.outbox:
            found = next((each for each in expected if each[:2] == (mail.to, mail.subject)), None)
            assert found, f"nobody should have got {mail.subject!r} at {mail.to}"
            expected.remove(found)
            if link := found[2]:
                beginning, _, link.secret = str(mail.context["link"]).rpartition("/")
                assert f"{beginning}/" == self.settings.BASE_URL + LINKS[link.purpose][1]
                link.mailed_to = mail.to
                self.links[link.purpose].append(link)
        assert not expected, "mails are missing"

    # Requests

    async def _post(self, *arguments: Any, **options: Any) -> int:
        status, _ = await self._answer(*arguments, **options)
        return status

    async def _answer(
        self,
        page: bool,
        form: str,
        api: str,
        fields: dict[str, Any] | None = None,
        *,
        by: Proof | None = None,
        repeat: str | None = None,
        guarded: bool = True,
    ) -> tuple[int, Response]:
        """What a browser gets from a page, or a program from the API.

        200 stands for all that means yes.
        """
        client = self.app.test_client()
        method, _, path = (
            (form if " " in form else f"POST {form}").partition(" ") if page else api.partition(" ")
        )
        options: dict[str, Any] = {"json": fields} if fields is not None else {}
        if page:
            options = {
                "form": {
                    **(fields or {}),
                    **({f"{repeat}2": (fields or {})[repeat]} if repeat else {}),
                }
            }
            if method == "GET":
                options = {}
        if by and page:
            client.set_cookie("localhost", "session", str(by.secret))
        elif by:
            options["headers"] = {"Authorization": f"Bearer {by.secret}"}
        if by and self._is_recognised(by, page):
            self._touch(by)
        response = await client.open(path, method=method, **options)
        status = response.status_code
        assert status in (200, 201, 202, 204, 303, 401, 403, 404, 409, 410), (
            await response.get_data(as_text=True)
        )
        if (
            status == 303
            and by
            and guarded
            and response.headers["Location"].partition("?")[0] == "/account/login"
        ):
            status = 401
        return (200 if status < 400 else status), response


def right(account: Account | None) -> str:
    return account.password.words if account and account.password else PASSWORDS[0]


def knows(account: Account, password: str) -> bool:
    return account.password is not None and account.password.words == password


def cookie_of(response: Response) -> str | None:
    """The session that a browser gets."""
    for line in response.headers.getlist("Set-Cookie"):
        name, _, value = line.partition(";")[0].partition("=")
        if name == "session" and value:
            return str(value)
    return None


async def empty(app: Quart) -> None:
    """Nothing is left of the example before."""
    async with db.transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            await session.execute(table.delete())
    await redis.flushdb()
    app.extensions["limits"] = Limits(redis, app.config["REDIS_TIMEOUT"])
    await insert_roles()


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    """The loop of this suite, to run by hand.

    Hypothesis calls its rules one after another, outside any loop.
    """
    return asyncio.get_running_loop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Takes the place of the app's clock. Jobs go by the database's."""
    clock = Clock()
    monkeypatch.setattr("app.database.datetime", clock)
    return clock


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> list[Email]:
    """The mails that were sent, not written out: that takes its time, and has tests of its own."""
    sent: list[Email] = []

    async def deliver(email: Email) -> None:
        sent.append(email)

    monkeypatch.setattr("app.mail.delivery.deliver", deliver)
    return sent


@pytest.fixture
def no_limits(settings: Config) -> None:
    for name in Config.model_fields:
        if isinstance(getattr(settings, name), str) and "_LIMIT" in name:
            setattr(settings, name, "1000000/minute")


@pytest.mark.usefixtures("no_limits")
@pytest.mark.soak  # 20 s for each database: .ci/run has the time
def test_whatever_people_do_in_whatever_order_accounts_stay_their_owners(
    app: Quart, settings: Config, clock: Clock, outbox: list[Email], loop: asyncio.AbstractEventLoop
) -> None:
    profile = PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "default")]
    run_state_machine_as_test(
        lambda: Flows(app, settings, clock, outbox, loop),  # type: ignore[arg-type]  # documented, though its hint forgets it
        settings=profile,
    )
