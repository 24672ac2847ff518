"""A stranger beside the owner of an account, who does whatever strangers can, at any moment.

Hypothesis tries sequences of what the two do. Whatever the order, the stranger gets nothing of the
owner's, and the owner gets in within one mail. There is no model of the answers: what must hold is
read from the database, from the owner's mailbox and from the pages that the owner sees.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from quart import Quart
from sqlalchemy import select

from app.accounts import service
from app.auth.devices import device_digest
from app.auth.hashing import passwords
from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest
from app.config import Config
from app.database import db
from app.mail.message import Email
from tests.accounts.any_order.driver import empty
from tests.accounts.any_order.events import (
    EVENTS,
    SPANS,
    Event,
    by_page,
    event,
    in_the_loop,
    mailed,
)
from tests.accounts.any_order.model import Clock
from tests.accounts.any_order.people import (
    OWNER,
    STRANGER,
    Browser,
    Mailboxes,
    Person,
    press,
)
from tests.accounts.any_order.profiles import profile
from tests.accounts.surfaces import (
    CHANGE_PASSWORD,
    DELETE_ACCOUNT,
    END_OTHER_SESSIONS,
    END_SESSION,
    REAUTHENTICATE,
    REGISTER,
    RENAME,
    REQUEST_EMAIL_CHANGE,
    REQUEST_RESET,
    RESEND_CONFIRMATION,
)

# Low, so that a stranger fills them at once. Those per ip are high: strangers have many.
LIMITS = {
    "LOGIN_LIMIT_ACCOUNT_ADDRESS": "5/hour",
    "LOGIN_LIMIT_ACCOUNT": "3/hour",
    "RESET_LIMIT_ACCOUNT": "2/hour",
    "ACCOUNT_MAIL_LIMIT": "2/hour",
}
GUESSES = 4  # more than LOGIN_LIMIT_ACCOUNT allows

nth = st.sampled_from([0, 0, 0, 1, 2])  # from the newest on
number = st.sampled_from([0, 0, 0, 1])  # of a browser
first = OWNER.emails[0]
anybodys = st.sampled_from([first, first, first, OWNER.emails[1], *STRANGER.emails])
owners = st.sampled_from([first, first, OWNER.emails[1]])


class Stranger(RuleBasedStateMachine):
    """The two, and what must hold after each step of either."""

    def __init__(
        self,
        app: Quart,
        settings: Config,
        clock: Clock,
        sent: list[Email],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__()
        self.app, self.settings, self.clock, self.sent, self.loop = app, settings, clock, sent, loop
        self.holds = False

    def run(self, work: Any) -> None:
        async def within() -> None:
            async with self.app.app_context():
                await work

        self.loop.run_until_complete(within())

    @initialize(email=st.none() | owners)
    @in_the_loop
    async def begin(self, email: str | None) -> None:
        await self._begin_anew(email)

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
        self.checked: set[str] = set()  # password hashes

    @rule(happening=st.deferred(lambda: st.one_of(every_event())))
    @in_the_loop
    async def happens(self, happening: tuple[str, dict[str, Any]]) -> None:
        self.holds, (name, values) = False, happening
        held = await self._held_by_the_owner() if name.startswith("stranger") else set()
        await getattr(self, name)(**values)
        lost = held - await self._held_by_the_owner() if held else set()
        assert not lost, "the stranger has ended something of the owner's"

    # What the stranger does.

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

    @event(2, n=number, email=anybodys, page=by_page)
    async def stranger_logs_in(self, n: int, email: str, page: bool) -> None:
        await self.theirs[n].log_in(email, STRANGER.password, page=page)

    @event(email=owners)
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

    @event(n=number, page=by_page, now=mailed)
    async def stranger_asks_for_another_confirmation(self, n: int, page: bool, now: bool) -> None:
        await self.theirs[n].do(RESEND_CONFIRMATION, page=page)
        await self._work(now)

    @event(4, n=number, email=anybodys, page=by_page, now=mailed)
    async def stranger_changes_address(self, n: int, email: str, page: bool, now: bool) -> None:
        fields = {"email": email, "password": STRANGER.password}
        await self.theirs[n].do(REQUEST_EMAIL_CHANGE, fields, page=page)
        await self._work(now)

    @event(4, n=number, newest=nth)
    async def stranger_presses(self, n: int, newest: int) -> None:
        """Press a button of a mail to the stranger, an objection for example."""
        await self._press(self.theirs[n], STRANGER, newest)

    @event(2, n=number, page=by_page)
    async def stranger_deletes(self, n: int, page: bool) -> None:
        await self.theirs[n].do(DELETE_ACCOUNT, {"password": STRANGER.password}, page=page)

    @event(n=number, page=by_page, now=mailed, which=st.integers(0, 3))
    async def stranger_sees_to_an_account(self, n: int, page: bool, now: bool, which: int) -> None:
        browser, password = self.theirs[n], STRANGER.password
        if which == 0:
            await browser.do(RENAME, STRANGER.names, page=page)
        elif which == 1:
            fields = {"old_password": password, "new_password": password}
            await browser.do(CHANGE_PASSWORD, fields, page=page)
        elif which == 2:
            await browser.do(END_OTHER_SESSIONS, page=page)
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

    # What the owner does.

    @event(3, n=number, email=owners, now=mailed)
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
        known = user is not None and device_digest(browser.device, user.id) in digests
        answer = await browser.log_in(email, OWNER.password)
        has_password = user is not None and user.password_hash is not None and not user.disabled_at
        if known and has_password and is_the_owners(user):
            assert answer.is_yes, "the stranger has locked a known browser out"

    @event(n=number, email=owners, page=by_page, now=mailed)
    async def owner_changes_address(self, n: int, email: str, page: bool, now: bool) -> None:
        fields = {"email": email, "password": OWNER.password}
        await self.mine[n].do(REQUEST_EMAIL_CHANGE, fields, page=page)
        await self._work(now)

    @event(n=number, now=mailed, which=st.integers(0, 4))
    async def owner_sees_to_an_account(self, n: int, now: bool, which: int) -> None:
        browser, password = self.mine[n], OWNER.password
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

    @event(2, n=number, email=owners, forgot=st.booleans())
    async def owner_gets_in(self, n: int, email: str, forgot: bool) -> None:
        """Get in, to see one's own account: at once, or with one mail that is asked for."""
        browser, user = self.mine[n], await self._account_at(email)
        if user and user.disabled_at:
            return
        if not forgot:
            if not await browser.sees(email):
                await browser.log_in(email, OWNER.password)
            if await browser.sees(email):
                return
        await browser.log_out()
        has_account = user is not None and user.confirmed
        fields = {} if has_account else {**OWNER.names, "password": OWNER.password}
        flow = REQUEST_RESET if has_account else REGISTER
        answer = await browser.do(flow, {**fields, "email": email})
        assert answer.is_yes, "the stranger has used the mails up"
        await self._work(True)
        for mail in self.mailboxes.of(OWNER):
            if mail.to == email and mail.is_key:
                await press(browser, mail, OWNER)
                if not await browser.sees(email):
                    await browser.log_in(email, OWNER.password)
                if await browser.sees(email):
                    return
        raise AssertionError("the owner does not get in with one mail")

    # What others do.

    @event(email=anybodys)
    async def administrator_disables_or_enables(self, email: str) -> None:
        if user := await self._account_at(email):
            async with db.transaction() as session:
                if user.disabled_at:
                    await service.enable_user(session, user.id)
                else:
                    await service.disable_user(session, user.id)
            self.disabled ^= {user.id}

    @event(span=st.sampled_from(SPANS))
    async def time_passes(self, span: timedelta) -> None:
        self.clock.time += span
        await self._work(True)

    @event(3, email=st.none() | owners)
    async def everything_begins_anew(self, email: str | None) -> None:
        """Start over within an example: Hypothesis makes few examples that differ much."""
        await self._let_the_owner_in()
        await self._begin_anew(email)

    async def _let_the_owner_in(self) -> None:
        for n, email in enumerate(OWNER.emails):
            await self.owner_gets_in(n, email, forgot=n == 0)

    async def _work(self, now: bool) -> None:
        if now:
            await self.mailboxes.fill()

    async def _press(self, browser: Browser, person: Person, newest: int) -> None:
        if mails := self.mailboxes.of(person):
            await press(browser, mails[newest % len(mails)], person)

    async def _account_at(self, email: str) -> User | None:
        async with db.session() as session:
            return await service.find_user(session, email)

    # What must hold.

    async def _held_by_the_owner(self) -> set[Any]:
        """Return what of the owner's works: sessions, known browsers, links in the mailboxes."""
        links = [mail.secret for mail in self.mailboxes.of(OWNER)]
        secrets = {digest(secret) for secret in (*links, *(each.session for each in self.mine))}
        return {
            row.id
            for row, user in await self._alive()
            if (row.digest in secrets or row.purpose == Purpose.DEVICE)
            and (is_the_owners(user) or row.purpose == Purpose.CONFIRM)
        }

    async def _alive(self) -> list[tuple[Credential, User | None]]:
        query = select(Credential, User).outerjoin(User, User.id == Credential.user_id)
        query = query.where(
            Credential.consumed_at.is_(None), Credential.expires_at > self.clock.time
        )
        async with db.session() as session:
            return [(row, user) for row, user in (await session.execute(query)).all()]

    @invariant()
    @in_the_loop
    async def accounts_are_of_those_who_chose_them(self) -> None:
        async with db.session() as session:
            users = (await session.execute(select(User))).scalars().all()
        assert self.disabled <= {user.id for user in users}, "a disabled account has gone"
        for user in users:
            mine = is_the_owners(user)
            is_at_home = user.email in (OWNER if mine else STRANGER).emails
            assert is_at_home or not (mine or user.confirmed), "at somebody else's address"
            if user.password_hash and user.password_hash not in self.checked:
                person = OWNER if mine else STRANGER
                assert await passwords.verify(user.password_hash, person.password), "not chosen"
                self.checked.add(user.password_hash)

    @invariant()
    @in_the_loop
    async def nobody_holds_anything_of_the_others(self) -> None:
        browsers = [secret for each in self.theirs for secret in each.held]
        links = [mail.secret for mail in self.mailboxes.of(STRANGER)]
        secrets = {digest(secret) for secret in (*browsers, *links)}
        for row, user in await self._alive():
            if user is not None and is_the_owners(user):
                held = secrets | {device_digest(each.device, user.id) for each in self.theirs}
                assert row.digest not in held, f"the stranger holds a {row.purpose} of the owner's"
        self.holds = True

    def teardown(self) -> None:
        """Let the owner in at the end, whatever has happened."""
        if self.holds:
            self.run(self._let_the_owner_in())


async def add_account(person: Person, email: str, browser: Browser) -> None:
    """Give somebody a confirmed account, and log them in."""
    password_hash = await passwords.hash(person.password)
    async with db.transaction() as session:
        await service.create_user(
            session, email=email, password_hash=password_hash, confirmed=True, **person.names
        )
    assert (await browser.log_in(email, person.password)).is_yes


def is_the_owners(user: User | None) -> bool:
    """Tell whose account it is, by the name that only its owner chooses."""
    return user is not None and user.first_name == OWNER.name[0]


def every_event() -> list[Event]:
    return EVENTS[Stranger.__name__]


@pytest.fixture
def limits(settings: Config, no_limits: None) -> None:
    for name, rule_ in LIMITS.items():
        setattr(settings, name, rule_)


@pytest.mark.usefixtures("limits")
@pytest.mark.soak
def test_a_stranger_gets_nothing_and_the_owner_always_gets_in(
    app: Quart, settings: Config, clock: Clock, outbox: list[Email], loop: asyncio.AbstractEventLoop
) -> None:
    run_state_machine_as_test(
        lambda: Stranger(app, settings, clock, outbox, loop),  # type: ignore[arg-type]  # documented, though its hint forgets it
        settings=profile(examples=10, steps=120),
    )
