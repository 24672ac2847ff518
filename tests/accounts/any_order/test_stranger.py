"""A stranger beside the owner of an account, who does whatever strangers can, at any moment.

Hypothesis tries sequences of what the two do. Whatever the order, the stranger gets nothing of the
owner's, and the owner gets in within one mail. There is no model of the answers: what must hold is
read from the database, from the owner's mailbox and from the pages that the owner sees.
"""

import asyncio
from datetime import timedelta
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
from app.auth.models import Purpose, User
from app.auth.tokens import digest
from app.config import Config
from app.database import db
from app.mail.message import Email
from tests.accounts.any_order.events import EVENTS, SPANS, Event, event, in_the_loop
from tests.accounts.any_order.model import Clock
from tests.accounts.any_order.owner import OwnerSteps
from tests.accounts.any_order.people import OWNER, STRANGER
from tests.accounts.any_order.profiles import profile
from tests.accounts.any_order.scene import anybodys, is_the_owners, registered
from tests.accounts.any_order.stranger import StrangerSteps

# Low, so that a stranger fills them at once. Those per ip are high: strangers have many.
LIMITS = {
    "LOGIN_LIMIT_ACCOUNT_ADDRESS": "5/hour",
    "LOGIN_LIMIT_ACCOUNT": "3/hour",
    "RESET_LIMIT_ACCOUNT": "2/hour",
    "ACCOUNT_MAIL_LIMIT": "2/hour",
}


class Stranger(StrangerSteps, OwnerSteps, RuleBasedStateMachine):
    """The two, and what must hold after each step of either."""

    holds = False  # after the last step

    @initialize(email=registered)
    @in_the_loop
    async def begin(self, email: str | None) -> None:
        await self._begin_anew(email)

    @rule(happening=st.deferred(lambda: st.one_of(every_event())))
    @in_the_loop
    async def happens(self, happening: tuple[str, dict[str, Any]]) -> None:
        self.holds, (name, values) = False, happening
        held = await self._held_by_the_owner() if name.startswith("stranger") else set()
        await getattr(self, name)(**values)
        lost = held - await self._held_by_the_owner() if held else set()
        assert not lost, "the stranger has ended something of the owner's"

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

    @event(2, email=registered)
    async def everything_begins_anew(self, email: str | None) -> None:
        """Start over within an example: Hypothesis makes few examples that differ much."""
        await self._let_the_owner_in()
        await self._begin_anew(email)

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

    @invariant()
    @in_the_loop
    async def accounts_are_of_those_who_chose_them(self) -> None:
        async with db.session() as session:
            users = (await session.execute(select(User))).scalars().all()
        assert self.disabled <= {user.id for user in users}, "a disabled account has gone"
        for user in users:
            mine = is_the_owners(user)
            person = OWNER if mine else STRANGER
            is_at_home = user.email in person.emails
            assert is_at_home or not (mine or user.confirmed), "at somebody else's address"
            if user.password_hash and (user.password_hash, person) not in self.checked:
                assert await passwords.verify(user.password_hash, person.password), "not chosen"
                self.checked.add((user.password_hash, person))

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


def every_event() -> list[Event]:
    kinds = (StrangerSteps, OwnerSteps, Stranger)
    return [event for kind in kinds for event in EVENTS[kind.__name__]]


@pytest.fixture
def limits(settings: Config, no_limits: None) -> None:
    for name, rule_ in LIMITS.items():
        setattr(settings, name, rule_)


@pytest.mark.usefixtures("limits")
@pytest.mark.soak  # 20 s for each database, as the other one
def test_a_stranger_gets_nothing_and_the_owner_always_gets_in(
    app: Quart, settings: Config, clock: Clock, outbox: list[Email], loop: asyncio.AbstractEventLoop
) -> None:
    run_state_machine_as_test(
        lambda: Stranger(app, clock, outbox, loop),  # type: ignore[arg-type]  # documented, though its hint forgets it
        settings=profile(examples=10, steps=80),
    )
