"""Nobody learns who has an account, neither from an answer nor from the time it takes."""

import asyncio
import http.client
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import update

from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest, new_secret
from app.database import utcnow
from tests.accounts.surfaces import (
    API,
    LINKS,
    LOG_IN,
    PAGE,
    REGISTER,
    REQUEST_EMAIL_CHANGE,
    REQUEST_RESET,
    SESSION_COOKIE,
    Flow,
    Request,
    cookie_in,
)
from tests.factories.people import PASSWORD
from tests.faults.accounts.deployed import (
    NEW,
    WRONG,
    Answer,
    Fields,
    Person,
    begin_session,
    make_credential,
    make_people,
    make_person,
    new_email,
    send,
    use_link,
)
from tests.faults.conftest import transaction
from tests.processes import Served

pytestmark = pytest.mark.faults

SAMPLES = 200
APART = 0.005  # seconds between the medians
# The same as a part of them: on a busy machine everything takes longer.
STRETCHED = 0.1
TRIES = 3

NAME = {"first_name": "Robin", "last_name": "Example"}

Attempt = Callable[[], tuple[Request, str]]  # what is sent, and what of it must not show


@pytest.fixture(scope="module")
async def people(env: dict[str, str]) -> list[Person]:
    """Create enough people for every sample to be about somebody else."""
    return await make_people(env, SAMPLES + 5)


def seen(answer: Answer, hidden: str) -> tuple[int, frozenset[str], str, str]:
    """Return what somebody sees, without what they sent and the number of their request."""
    body = answer.body.replace(hidden, "…").replace(answer.headers["x-request-id"], "…")
    return (
        answer.status,
        frozenset(answer.headers),
        answer.headers.get("location", "").replace(hidden, "…"),
        body,
    )


def compare(server: Served, known: Attempt, unknown: Attempt, secret: str | None = None) -> None:
    """Make both attempts again and again: the answers are the same, and so is the time."""
    medians = []
    for _ in range(TRIES):
        times: dict[Attempt, list[float]] = {known: [], unknown: []}
        answers = set()
        with closing(
            http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        ) as connection:
            for number in range(SAMPLES + 5):
                for each in (known, unknown):
                    request, hidden = each()
                    started = time.perf_counter()
                    answer = send(connection, request, secret)
                    elapsed = time.perf_counter() - started
                    answers.add(seen(answer, hidden))
                    if number >= 5:  # the first warm everything up
                        times[each].append(elapsed)
        assert len(answers) == 1, answers
        assert answers.pop()[0] not in (429, 503)
        medians.append([statistics.median(times[each]) for each in (known, unknown)])
        path = request.path.replace(hidden, "…")
        print(
            f"{path}: known {medians[-1][0] * 1000:.2f} ms, unknown {medians[-1][1] * 1000:.2f} ms"
        )
        if abs(medians[-1][0] - medians[-1][1]) < max(APART, STRETCHED * min(medians[-1])):
            return
    raise AssertionError(f"{path}: medians of known and unknown in seconds: {medians}")


def compare_emails(
    server: Served,
    people: list[Person],
    flow: Flow,
    fields: Fields,
    *,
    by_page: bool = API,
    secret: str | None = None,
) -> None:
    """Compare a flow for addresses that have an account with the same for new ones."""
    emails = each_of(people)

    def attempt(email: str) -> tuple[Request, str]:
        return flow.request({"email": email, **fields}, by_page=by_page), email

    compare(server, lambda: attempt(next(emails)), lambda: attempt(new_email()), secret)


def each_of(people: list[Person]) -> Iterator[str]:
    while True:
        for person in people:
            yield person.email


def test_logging_in_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person]
) -> None:
    compare_emails(unlimited, people, LOG_IN, {"password": WRONG})


def test_registering_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person]
) -> None:
    compare_emails(unlimited, people, REGISTER, {"password": NEW, **NAME})


@pytest.mark.parametrize("by_page", [API, PAGE], ids=["api", "page"])
def test_requesting_a_reset_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person], by_page: bool
) -> None:
    compare_emails(unlimited, people, REQUEST_RESET, {}, by_page=by_page)


async def test_changing_ones_address_does_not_tell_who_has_an_account(
    env: dict[str, str], unlimited: Served, people: list[Person]
) -> None:
    secret = begin_session(unlimited, await make_person(env))
    fields = {"password": PASSWORD}
    await asyncio.to_thread(
        compare_emails, unlimited, people, REQUEST_EMAIL_CHANGE, fields, secret=secret
    )


@pytest.mark.parametrize("by_page", [API, PAGE], ids=["api", "page"])
@pytest.mark.parametrize("state", ["used", "expired"])
async def test_an_invitation_that_no_longer_works_looks_like_one_that_never_existed(
    env: dict[str, str], unlimited: Served, state: str, by_page: bool
) -> None:
    secret = await make_credential(
        env, await make_person(env, confirmed=False, invited=True), Purpose.INVITE
    )
    if state == "used":
        assert use_link(unlimited, Purpose.INVITE, secret).status == 204
    else:
        async with transaction(env) as session:
            row = update(Credential).where(Credential.digest == digest(secret))
            await session.execute(row.values(expires_at=utcnow() - timedelta(seconds=1)))

    def attempt(token: str) -> tuple[Request, str]:
        return LINKS[Purpose.INVITE].use(token, NEW, by_page=by_page), token

    await asyncio.to_thread(
        compare, unlimited, lambda: attempt(secret), lambda: attempt(new_secret())
    )


PAGES: dict[Flow, Fields] = {
    LOG_IN: {"password": WRONG},
    REGISTER: {"password": NEW, **NAME},
    REQUEST_RESET: {},
    REQUEST_EMAIL_CHANGE: {"password": PASSWORD},
}


@pytest.mark.parametrize("flow", PAGES, ids=lambda flow: flow.page)
async def test_a_page_shows_the_same_for_every_kind_of_account_and_for_none(
    env: dict[str, str], unlimited: Served, flow: Flow
) -> None:
    kinds = [
        await make_person(env),
        await make_person(env, confirmed=False),
        await make_person(env, confirmed=False, invited=True),
        disabled := await make_person(env),
    ]
    async with transaction(env) as session:
        await session.execute(
            update(User).where(User.id == disabled.id).values(disabled_at=utcnow())
        )
    signed_in = flow is REQUEST_EMAIL_CHANGE
    secret = begin_session(unlimited, await make_person(env)) if signed_in else None
    shown = {
        page_and_next(unlimited, flow, {"email": email, **PAGES[flow]}, secret)
        for email in [*(person.email for person in kinds), new_email()]
    }
    assert len(shown) == 1
    assert shown.pop()[0] in (303, 401)


def page_and_next(
    server: Served, flow: Flow, fields: Fields, secret: str | None
) -> tuple[object, ...]:
    """Return what a browser shows: the answer, and the page that it leads to with its message."""
    hidden = fields["email"]
    answer = send(server, flow.request(fields, by_page=PAGE), secret)
    cookies = [line.partition(";")[0] for line in answer.set_cookies]
    names = frozenset(cookie.partition("=")[0] for cookie in cookies)
    shown: tuple[object, ...] = (*seen(answer, hidden), names)
    if answer.status == 303:
        assert cookie_in(answer.set_cookies) is None, "nobody is logged in by this"
        if secret:
            cookies.append(f"{SESSION_COOKIE}={secret}")
        following = Request("GET", answer.headers["location"], PAGE)
        headers = {"Cookie": "; ".join(cookies)}
        shown += seen(send(server, following, headers=headers), hidden)
    return shown
