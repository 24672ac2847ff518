"""Who is told by mail is settled when the act commits, whatever becomes of the account."""

from collections.abc import AsyncIterator, Awaitable, Callable
from email import message_from_bytes, policy
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope
from quart import Quart

from app.config import Config
from app.database import db
from app.jobs.models import State
from app.jobs.service import retry_jobs
from tests.jobs.conftest import jobs, run_due
from tests.mail import acts
from tests.mail.smtp_servers import listening

Act = Callable[[], Awaitable[tuple[str, int]]]
Fate = Callable[[int], Awaitable[None]]

CHANGED = "Your password has been changed"
TOKEN = "A token was made for your account"
LOST = "Your address is no longer used here"
MAY_OBJECT = "Your email address is about to change"
NEW_ADDRESS = "Confirm your new email"
HAS_ACCOUNT = "You already have an account"
CONFIRM, SET_UP = "Confirm your account", "Set up your account"
RESET, INVITED = "Reset your password", "You are invited to join"
GUESSED = "Somebody is guessing at your password"

FATES: tuple[Fate, ...] = (acts.nothing, acts.move, acts.remove, acts.disable)

# What the address is told when the account has moved since, is deleted, or is disabled; "" means
# nobody is told, since the link in it would not work, or the mailbox is no longer the account's.
TOLD: dict[Act, tuple[str, str, str, str]] = {
    acts.password_changed: (CHANGED, CHANGED, CHANGED, CHANGED),
    acts.password_reset: (CHANGED, CHANGED, CHANGED, CHANGED),
    acts.token_made: (TOKEN, TOKEN, TOKEN, TOKEN),
    acts.address_lost: (LOST, LOST, LOST, LOST),
    acts.asked_to_move: (MAY_OBJECT, MAY_OBJECT, "", ""),
    acts.asked_to_move_here: (NEW_ADDRESS, "", "", ""),
    # Whoever moves away withdraws what waits; a mailbox without an account may set one up.
    acts.registered_again: (HAS_ACCOUNT, "", SET_UP, ""),
    acts.registered: (CONFIRM, SET_UP, SET_UP, ""),
    acts.reset_requested: (RESET, "", "", ""),
    acts.invited: (INVITED, "", "", ""),
    acts.guessed_at: (GUESSED, "", "", ""),
}


class Refusing:
    """A mail server that takes everything, or is not ready to."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []
        self.is_away = False

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.is_away:
            return "421 4.3.2 later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((envelope.rcpt_tos[0], str(message["Subject"])))
        return "250 OK"


@pytest.fixture
async def post(settings: Config) -> AsyncIterator[Refusing]:
    settings.LOGIN_LIMIT_ACCOUNT = "1/day"
    settings.MAIL_SERVER, settings.MAIL_USE_TLS = "127.0.0.1", False
    post = Refusing()
    async with listening(settings, lambda: SMTP(post, hostname="localhost")):
        yield post


async def work(app: Quart) -> None:
    """Run jobs until none waits; those that failed are due at once."""
    for _ in range(10):
        await run_due(app)
        if not (left := await jobs(state=State.WAITING)):
            return
        async with db.transaction() as session:
            await retry_jobs(session, [job.id for job in left])
    raise AssertionError([(job.name, job.error) for job in left])


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.__name__)
@pytest.mark.parametrize("is_away", [False, True], ids=["stopped", "refused"])
async def test_who_is_told_is_settled_when_the_act_commits(
    app: Quart, post: Refusing, fate: Fate, is_away: bool
) -> None:
    """The worker was stopped meanwhile, or the mail server answered 421."""
    done = {act: await act() for act in TOLD}
    if is_away:
        post.is_away = True
        await run_due(app)
        post.is_away = False
        assert post.mails == []
    for _, user_id in done.values():
        await fate(user_id)
    await work(app)
    told = {
        act: " ".join(subject for to, subject in post.mails if to == email)
        for act, (email, _) in done.items()
    }
    number = FATES.index(fate)
    assert told == {
        act: f"[quart-base] {subjects[number]}" if subjects[number] else ""
        for act, subjects in TOLD.items()
    }
    assert [to for to, _ in post.mails if to.startswith("elsewhere")] == [], "where it has moved to"
    assert await jobs(state=State.DEAD) == []


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.__name__)
async def test_an_owner_whose_address_another_wants_is_told_while_it_is_theirs(
    app: Quart, post: Refusing, fate: Fate
) -> None:
    """Once it is free, the other one's link goes there instead."""
    email, user_id = await acts.wanted_by_another()
    await fate(user_id)
    await work(app)
    subjects = [subject.removeprefix("[quart-base] ") for to, subject in post.mails if to == email]
    told: dict[Fate, list[str]] = {
        acts.nothing: [HAS_ACCOUNT],
        acts.move: [NEW_ADDRESS],
        acts.remove: [NEW_ADDRESS],
        acts.disable: [],
    }
    assert subjects == told[fate]


async def test_mail_goes_to_the_address_as_it_was_typed(app: Quart, post: Refusing) -> None:
    email, user_id = await acts.registered()
    assert email != email.lower()
    await acts.remove(user_id)
    await work(app)
    assert [to for to, _ in post.mails] == [email]
