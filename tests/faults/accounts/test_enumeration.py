"""Nobody learns who has an account, neither from an answer nor from the time it takes."""

import asyncio
import http.client
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

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
from tests.faults.accounts.conftest import NO_LIMITS_AT_ALL
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
from tests.processes import Served, served

pytestmark = pytest.mark.faults

SAMPLES = 500  # of the kind that matters most
FEWER = 200
# How often the longer of two times is the known one's. Half of the times says nothing; a standard
# deviation of 500 samples is .018. What is outside is measured again, and judged together.
BOUNDS = (0.45, 0.55)
ROUNDS = 10

NAME = {"first_name": "Robin", "last_name": "Example"}

Attempt = Callable[[], tuple[Request, str]]  # what is sent, and what of it must not show


@pytest.fixture(scope="module")
async def people(env: dict[str, str]) -> list[Person]:
    """Create enough people for every sample of both kinds of refusals to be about another one."""
    return await make_people(env, 2 * ROUNDS * (FEWER + 5))


def seen(answer: Answer, hidden: str) -> tuple[int, frozenset[str], str, str]:
    """Return what somebody sees, without what they sent and the number of their request.

    Nor whether the server ends the connection, which it does after 1,000 requests.
    """
    body = answer.body.replace(hidden, "…").replace(answer.headers["x-request-id"], "…")
    return (
        answer.status,
        frozenset(answer.headers) - {"connection"},
        answer.headers.get("location", "").replace(hidden, "…"),
        body,
    )


def compare(
    server: Served,
    known: Attempt,
    unknown: Attempt,
    secret: str | None = None,
    *,
    samples: int = FEWER,
    prepare: Callable[[Request], object] = lambda request: None,
    headers: Fields | None = None,
    status: int | None = None,
) -> None:
    """Make both attempts again and again, in random order.

    The answers are the same, and the times do not tell which is which. `prepare` is called before
    each attempt, with what will be sent, and is not measured.
    """
    times: dict[Attempt, list[float]] = {known: [], unknown: []}
    answers = set()
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for turn in range(ROUNDS):
            for number in range(samples + 5):
                for each in random.sample((known, unknown), 2):
                    request, hidden = each()
                    prepare(request)
                    started = time.perf_counter()
                    try:
                        answer = send(connection, request, secret, headers=headers)
                    except ConnectionError:  # kept open for long enough, on a busy machine
                        connection.close()
                        continue
                    elapsed = time.perf_counter() - started
                    answers.add(seen(answer, hidden))
                    if turn or number >= 5:  # the first warm everything up
                        times[each].append(elapsed)
            assert len(answers) == 1, answers
            [found] = [answer[0] for answer in answers]
            assert found == status or (status is None and found not in (429, 503))
            area = area_under_curve(times[known], times[unknown])
            medians = [statistics.median(times[each]) * 1000 for each in (known, unknown)]
            print(
                f"{request.path.replace(hidden, '…')}: {len(times[known])} each, "
                f"medians {medians[0]:.2f} and {medians[1]:.2f} ms, area {area:.3f}"
            )
            if BOUNDS[0] <= area <= BOUNDS[1]:
                return
    raise AssertionError(f"the time tells known from unknown: the area under the curve is {area}")


def area_under_curve(ones: list[float], others: list[float]) -> float:
    """Return how often one of the ones is larger than one of the others."""
    ranked = sorted([(value, True) for value in ones] + [(value, False) for value in others])
    ranks = sum(rank for rank, (_, is_one) in enumerate(ranked, 1) if is_one)
    return (ranks - len(ones) * (len(ones) + 1) / 2) / (len(ones) * len(others))


def compare_emails(
    server: Served,
    people: list[Person],
    flow: Flow,
    fields: Fields,
    *,
    by_page: bool = API,
    **options: Any,
) -> None:
    """Compare a flow for addresses that have an account with the same for new ones."""
    emails = each_of(people)

    def attempt(email: str) -> tuple[Request, str]:
        return flow.request({"email": email, **fields}, by_page=by_page), email

    compare(server, lambda: attempt(next(emails)), lambda: attempt(new_email()), **options)


def each_of(people: list[Person]) -> Iterator[str]:
    while True:
        for person in people:
            yield person.email


def test_the_area_under_the_curve_is_half_where_nothing_differs() -> None:
    assert area_under_curve([1, 2, 3], [4, 5]) == 0
    assert area_under_curve([4, 5], [1, 2, 3]) == 1
    assert area_under_curve([1, 4], [2, 3]) == 0.5


def test_logging_in_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person]
) -> None:
    compare_emails(unlimited, people, LOG_IN, {"password": WRONG}, samples=SAMPLES)


async def test_logging_in_from_a_device_of_somebody_else_does_not_tell_who_has_an_account(
    env: dict[str, str], unlimited: Served, people: list[Person]
) -> None:
    fields = {"email": (await make_person(env)).email, "password": PASSWORD}
    answer = send(unlimited, LOG_IN.request(fields, by_page=API))
    [device] = [c.partition(";")[0] for c in answer.set_cookies if c.startswith("device_")]
    await asyncio.to_thread(
        compare_emails,
        unlimited,
        people,
        LOG_IN,
        {"password": WRONG},
        headers={"Cookie": device},
    )


@pytest.fixture(scope="module")
def suspicious(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a server on which one wrong password is too many."""
    log = tmp_path_factory.mktemp("suspicious") / "web.log"
    with served(env | NO_LIMITS_AT_ALL | {"LOGIN_LIMIT_ACCOUNT": "1/day"}, log) as server:
        yield server


@pytest.mark.parametrize("number", [1, 2])
def test_refusing_too_many_guesses_does_not_tell_who_has_an_account(
    suspicious: Served, people: list[Person], number: int
) -> None:
    """The first refusal may tell the owner by mail, later ones of the same day do not."""

    def guess(request: Request) -> None:
        for _ in range(number):
            send(suspicious, request)

    half = len(people) // 2  # nobody is told twice a day
    mine = people[:half] if number == 1 else people[half:]
    fields = {"password": WRONG}
    compare_emails(suspicious, mine, LOG_IN, fields, prepare=guess, status=429)


async def kind_of_people(env: dict[str, str], kind: str) -> list[Person]:
    """Create enough people of a kind for every sample to be about somebody else."""
    people = await make_people(
        env, FEWER + 5, confirmed=kind == "disabled", invited=kind == "invited"
    )
    if kind == "disabled":
        async with transaction(env) as session:
            disabled = update(User).where(User.id.in_([person.id for person in people]))
            await session.execute(disabled.values(disabled_at=utcnow()))
    return people


KINDS = pytest.mark.parametrize("kind", ["unconfirmed", "invited", "disabled"])


def test_registering_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person]
) -> None:
    compare_emails(unlimited, people, REGISTER, {"password": NEW, **NAME}, samples=SAMPLES)


@KINDS
async def test_registering_does_not_tell_who_has_an_account_of_another_kind(
    env: dict[str, str], unlimited: Served, kind: str
) -> None:
    people = await kind_of_people(env, kind)
    fields = {"password": NEW, **NAME}
    await asyncio.to_thread(compare_emails, unlimited, people, REGISTER, fields)


@pytest.mark.parametrize("by_page", [API, PAGE], ids=["api", "page"])
def test_requesting_a_reset_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person], by_page: bool
) -> None:
    compare_emails(unlimited, people, REQUEST_RESET, {}, by_page=by_page, samples=SAMPLES)


@KINDS
async def test_requesting_a_reset_does_not_tell_who_has_an_account_of_another_kind(
    env: dict[str, str], unlimited: Served, kind: str
) -> None:
    people = await kind_of_people(env, kind)
    await asyncio.to_thread(compare_emails, unlimited, people, REQUEST_RESET, {})


async def test_changing_ones_address_does_not_tell_who_has_an_account(
    env: dict[str, str], unlimited: Served, people: list[Person]
) -> None:
    secret = begin_session(unlimited, await make_person(env))
    fields = {"password": PASSWORD}
    await asyncio.to_thread(
        compare_emails,
        unlimited,
        people,
        REQUEST_EMAIL_CHANGE,
        fields,
        secret=secret,
        samples=SAMPLES,
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
