"""The flows of accounts in any order.

Hypothesis tries sequences of steps, and after each one the database must agree with a model of
what should be there.

The default run tries the same sequences every time. `HYPOTHESIS_PROFILE=long` tries others, for
some minutes:

    HYPOTHESIS_PROFILE=long python -m pytest -m soak tests/accounts/any_order
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime
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

from app.auth.devices import device_digest
from app.auth.hashing import passwords
from app.auth.models import Credential, Purpose, Role, User
from app.auth.tokens import digest
from app.config import Config
from app.database import db
from app.mail.message import Email
from tests.accounts.any_order.driver import empty
from tests.accounts.any_order.events import EVENTS, NEEDED, Event, browsers, event, in_the_loop
from tests.accounts.any_order.links import LinkSteps
from tests.accounts.any_order.mails import MailSteps
from tests.accounts.any_order.model import (
    EMAILS,
    NAMES,
    PASSWORDS,
    Account,
    Clock,
    Password,
    Proof,
    normal,
)
from tests.accounts.any_order.outside import OutsideSteps
from tests.accounts.any_order.profiles import profile
from tests.accounts.any_order.sessions import SessionSteps
from tests.factories.people import PASSWORD, make_person

seldom = st.sampled_from([False, False, True])


class Flows(SessionSteps, MailSteps, LinkSteps, OutsideSteps, RuleBasedStateMachine):
    """People who do what they like, and what must hold after each step."""

    @initialize(busy=st.sampled_from([True, True, True, False]), shut=seldom)
    @in_the_loop
    async def begin(self, busy: bool, shut: bool) -> None:
        await self._begin_anew(busy, shut)

    async def _begin_anew(self, busy: bool, shut: bool) -> None:
        """Begin with two people who are logged in, and with links of every kind if it is busy.

        One who has only registered may be shut out.

        Two of the links are mailed to one address, and three to one that is registered only.
        """
        await empty(self.app)
        self._forget()
        self.clock.time = datetime.now(UTC)
        for email in EMAILS[:2]:
            person = await make_person(email=email)
            account = Account(email, NAMES[0], Password(PASSWORD), confirmed=True, id=person.id)
            self.accounts.append(account)
            self.proven[account] = {email}
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
            await self._ask_for_another_email(self.sessions[0], PASSWORD, EMAILS[3], page=False)
        await self._work(True)
        if shut:
            await self.an_administrator_disables_or_enables(EMAILS[3])

    @rule(happening=st.deferred(lambda: st.one_of(every_event())), browser=browsers)
    @in_the_loop
    async def happens(self, happening: tuple[str, dict[str, Any]], browser: str) -> None:
        name, values = happening
        self.browser = browser
        if name not in NEEDED or self.links[NEEDED[name]]:
            await getattr(self, name)(**values)

    @event(busy=st.just(True), shut=seldom)
    async def everything_begins_anew(self, busy: bool, shut: bool) -> None:
        """Start over within an example: Hypothesis makes few examples that differ much."""
        await self._begin_anew(busy, shut)

    @invariant()
    @in_the_loop
    async def the_database_agrees(self) -> None:
        async with db.session() as session:
            query = select(User, Role.name).join(Role)
            users = (await session.execute(query)).all()
            # Also of accounts that are disabled: nothing of theirs may work again.
            wanted = select(Credential, User.email).outerjoin(User, User.id == Credential.user_id)
            wanted = wanted.where(
                Credential.consumed_at.is_(None), Credential.expires_at > self.clock.time
            )
            alive = (await session.execute(wanted)).all()
        stored = {user.email: user for user, _ in users}
        assert len({normal(email) for email in stored}) == len(users), (
            "one account for each address"
        )
        assert {role for _, role in users} <= {"User"}, "nobody becomes an administrator"
        assert sorted(stored) == sorted(account.email for account in self.accounts)
        for account in self.accounts:
            await self._compare(account, stored[account.email])
        self.may_move.clear()

        known = {stored_as(proof): proof for proof in self.proofs if proof.secret}
        found: Counter[tuple[str | None, str, str | None, Proof | None]] = Counter(
            (email, row.purpose, row.email, known.get(row.digest)) for row, email in alive
        )
        expected = Counter(
            (
                proof.owner.email if proof.owner else None,
                str(proof.purpose),
                proof.email,
                proof if proof.secret else None,
            )
            for proof in self.proofs
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
        proven = self.proven.setdefault(account, set())
        assert user.email in proven or not user.confirmed, (
            "confirmed without a link that was mailed there"
        )
        moved = self.had.get(account, user.email) != user.email
        assert not moved or (account, user.email) in self.may_move, "moved without a link"
        self.had[account] = user.email
        assert (user.password_hash is None) == (account.password is None)
        if (
            account.password
            and user.password_hash
            and self.hashes.get(user.password_hash) is not account.password
        ):
            for each in PASSWORDS:
                assert bool(await passwords.verify(user.password_hash, each)) == (
                    each == account.password.words
                ), each
            self.hashes[user.password_hash] = account.password


def stored_as(proof: Proof) -> bytes:
    """Return the digest that is stored of a credential."""
    if proof.purpose is Purpose.DEVICE:
        return device_digest(str(proof.secret), proof.user.id)
    return digest(str(proof.secret))


def every_event() -> list[Event]:
    """Return the events, what is cheap first: the first example is made of the first one alone."""
    kinds = (SessionSteps, MailSteps, LinkSteps, OutsideSteps, Flows)
    return [event for kind in kinds for event in EVENTS[kind.__name__]]


@pytest.mark.usefixtures("no_limits")
@pytest.mark.soak  # 20 s for each database: .ci/run has the time
def test_whatever_people_do_in_whatever_order_accounts_stay_their_owners(
    app: Quart, settings: Config, clock: Clock, outbox: list[Email], loop: asyncio.AbstractEventLoop
) -> None:
    run_state_machine_as_test(
        lambda: Flows(app, settings, clock, outbox, loop),  # type: ignore[arg-type]  # documented, though its hint forgets it
        # From the eleventh on Hypothesis varies the examples before: a few long ones see more.
        settings=profile(examples=10, steps=100),
    )
