"""Rows 4, 7, 8, 11 and 12 for accounts, over two server processes on one PostgreSQL and
one Redis."""

import asyncio
import http.client
import json
import re
import signal
import statistics
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from subprocess import CalledProcessError
from typing import NamedTuple

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from app.accounts.service import USER
from app.auth.models import Credential, Purpose, Role, User
from app.auth.tokens import digest, new_secret
from app.config import Config
from app.database import utcnow
from tests.conftest import create_database
from tests.faults.conftest import set_up, signal_redis, transaction
from tests.processes import NO_LIMITS, Served, served
from tests.servers import start_valkey

pytestmark = pytest.mark.faults

PASSWORD = "a violet kettle sings"
NEW = "nine green lanterns hum"
WRONG = "not what it is at all"
COSTS = {
    name: Config.model_fields[f"ARGON2_{name.upper()}"].default
    for name in ("memory_cost", "time_cost")
}
HASH = PasswordHasher(parallelism=1, **COSTS).hash(PASSWORD)
NUMBERS = count(100_000)

MAIL_LIMITS = (
    "REGISTRATION_LIMIT",
    "CONFIRMATION_LIMIT",
    "RESET_LIMIT_ACCOUNT",
    "RESET_LIMIT_ADDRESS",
)
NO_LIMITS_AT_ALL = NO_LIMITS | dict.fromkeys((*MAIL_LIMITS, "ACCOUNT_MAIL_LIMIT"), "100000/minute")

Pair = tuple[Served, Served]
Fields = dict[str, str]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: str


def ask(
    where: Served | http.client.HTTPConnection,
    method: str,
    path: str,
    fields: Fields | None = None,
    *,
    bearer: str | None = None,
    cookies: Fields | None = None,
    headers: Fields | None = None,
) -> Answer:
    """Send JSON to the API, a form to a page, over a connection of its own or over one that stays
    open.
    """
    if isinstance(where, Served):
        with closing(http.client.HTTPConnection("127.0.0.1", where.port, timeout=30)) as connection:
            return ask(
                connection, method, path, fields, bearer=bearer, cookies=cookies, headers=headers
            )
    sent = dict(headers or {})
    body = None
    if fields is not None:
        program = path.startswith("/api/")
        sent["Content-Type"] = (
            "application/json" if program else "application/x-www-form-urlencoded"
        )
        body = json.dumps(fields) if program else urllib.parse.urlencode(fields)
    if bearer:
        sent["Authorization"] = f"Bearer {bearer}"
    if cookies:
        sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    where.request(method, path, body, sent)
    response = where.getresponse()
    text = response.read().decode()
    set_cookies = [
        line.partition(";")[0].partition("=") for line in response.headers.get_all("Set-Cookie", [])
    ]
    found = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, found, {name: value for name, _, value in set_cookies}, text)


def new_email() -> str:
    """An address that has no account; all are of one length."""
    return f"robin{next(NUMBERS)}@example.com"


@dataclass(frozen=True)
class Person:
    id: int
    email: str


async def make_people(
    env: dict[str, str], number: int, *, confirmed: bool = True, invited: bool = False
) -> list[Person]:
    async with transaction(env) as session:
        role_id = (await session.execute(select(Role.id).where(Role.name == USER))).scalar_one()
        users = [
            User(
                email=new_email(),
                first_name="Robin",
                last_name="Example",
                password_hash=None if invited else HASH,
                confirmed=confirmed,
                role_id=role_id,
            )
            for _ in range(number)
        ]
        session.add_all(users)
        await session.flush()
        return [Person(user.id, user.email) for user in users]


async def make_person(
    env: dict[str, str], *, confirmed: bool = True, invited: bool = False
) -> Person:
    [person] = await make_people(env, 1, confirmed=confirmed, invited=invited)
    return person


async def make_credential(
    env: dict[str, str], person: Person, purpose: Purpose, email: str | None = None
) -> str:
    """A token, or what a mailed link holds; only its digest is stored."""
    secret = new_secret()
    async with transaction(env) as session:
        session.add(
            Credential(
                purpose=purpose,
                digest=digest(secret),
                user_id=person.id,
                email=email or person.email,
                expires_at=utcnow() + timedelta(minutes=20),
            )
        )
    return secret


def begin_session(server: Served, person: Person) -> str:
    answer = ask(server, "POST", "/api/v1/session", {"email": person.email, "password": PASSWORD})
    assert answer.status == 201, answer
    return str(json.loads(answer.body)["token"])


@pytest.fixture(scope="module")
async def env(tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> dict[str, str]:
    """A deployment on PostgreSQL for all tests here; Redis is emptied before each."""
    return set_up(
        await create_database(f"test_accounts_{worker_number}"), tmp_path_factory.mktemp("accounts")
    )


def start_pair(env: dict[str, str], folder: Path, stack: ExitStack) -> Pair:
    one, two = (stack.enter_context(served(env, folder / f"{name}.log")) for name in ("one", "two"))
    return one, two


@pytest.fixture(scope="module")
def pair(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two processes with the limits that they have by default.

    They wait for Redis: on a busy machine each would else begin to count by itself, as it should
    when Redis is away.
    """
    with ExitStack() as stack:
        yield start_pair(env | {"REDIS_TIMEOUT": "20"}, tmp_path_factory.mktemp("pair"), stack)


# Row 4: what ends what, at once and in every process.

LINKS = {
    Purpose.CONFIRM: ("/account/confirm-account/", "/api/v1/account/confirmation"),
    Purpose.RESET: ("/account/reset-password/", "/api/v1/account/password/reset"),
    Purpose.CHANGE_EMAIL: ("/account/manage/change-email/", "/api/v1/account/email/confirmation"),
    Purpose.INVITE: ("/account/join-from-invite/", "/api/v1/account/invitation"),
    Purpose.OBJECT: ("/account/keep-email/", "/api/v1/account/email/objection"),
}
API_FIELDS: dict[Purpose, Fields] = {
    Purpose.RESET: {"new_password": NEW},
    Purpose.INVITE: {"password": NEW},
}
PAGE_FIELDS: dict[Purpose, Fields] = {
    Purpose.RESET: {"new_password": NEW, "new_password2": NEW},
    Purpose.INVITE: {"password": NEW, "password2": NEW},
}


def use_link(server: Served, purpose: Purpose, secret: str, *, by_page: bool = False) -> Answer:
    page, api = LINKS[purpose]
    if by_page:
        return ask(server, "POST", page + secret, PAGE_FIELDS.get(purpose, {}))
    return ask(server, "POST", api, {"token": secret, **API_FIELDS.get(purpose, {})})


@dataclass
class Holder:
    """Somebody with one of everything."""

    person: Person
    this: str
    other: str
    token: str
    links: dict[Purpose, str]


async def make_holder(env: dict[str, str], pair: Pair) -> Holder:
    """Their address waits to be confirmed, since else no link would confirm it."""
    person = await make_person(env, confirmed=False)
    links = {
        purpose: await make_credential(
            env, person, purpose, new_email() if purpose is Purpose.CHANGE_EMAIL else None
        )
        for purpose in LINKS
    }
    token = await make_credential(env, person, Purpose.TOKEN)
    return Holder(
        person, begin_session(pair[0], person), begin_session(pair[1], person), token, links
    )


def session_works(server: Served, secret: str) -> bool:
    """As a program's token and as a browser's cookie."""
    program = ask(server, "GET", "/api/v1/account", bearer=secret)
    page = ask(server, "GET", "/account/manage", cookies={"session": secret})
    if (program.status, page.status) == (200, 200):
        return True
    assert (program.status, page.status) == (401, 303)
    assert page.headers["location"].startswith("/account/login")
    return False


def token_works(server: Served, secret: str) -> bool:
    status = ask(server, "GET", "/api/v1/account", bearer=secret).status
    assert status in (200, 401)
    return status == 200


def link_works(server: Served, purpose: Purpose, secret: str) -> bool:
    """Its page is shown; or nothing works, neither page nor button nor API."""
    if (shown := ask(server, "GET", LINKS[purpose][0] + secret).status) == 200:
        return True
    used = [use_link(server, purpose, secret, by_page=by_page).status for by_page in (False, True)]
    assert [shown, *used] == [410, 410, 410], purpose
    return False


def what_works(server: Served, holder: Holder) -> set[str]:
    found = {
        purpose.value
        for purpose, secret in holder.links.items()
        if link_works(server, purpose, secret)
    }
    found |= {name for name in ("this", "other") if session_works(server, getattr(holder, name))}
    return found | ({"token"} if token_works(server, holder.token) else set())


# Each happens on one process, and returns the session in place of this one if there is one.
Event = Callable[[Served, Holder], str | None]


def log_out_by_api(server: Served, holder: Holder) -> None:
    assert ask(server, "DELETE", "/api/v1/session", bearer=holder.this).status == 204


def log_out_by_page(server: Served, holder: Holder) -> None:
    assert (
        ask(server, "POST", "/account/logout", {}, cookies={"session": holder.this}).status == 303
    )


def change_password_by_api(server: Served, holder: Holder) -> str:
    fields = {"old_password": PASSWORD, "new_password": NEW}
    answer = ask(server, "POST", "/api/v1/account/password", fields, bearer=holder.this)
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["token"])


def change_password_by_page(server: Served, holder: Holder) -> str:
    fields = {"old_password": PASSWORD, "new_password": NEW, "new_password2": NEW}
    answer = ask(
        server, "POST", "/account/manage/change-password", fields, cookies={"session": holder.this}
    )
    assert answer.status == 303, answer
    return answer.cookies["session"]


def reset_password_by_api(server: Served, holder: Holder) -> None:
    assert use_link(server, Purpose.RESET, holder.links[Purpose.RESET]).status == 204


def reset_password_by_page(server: Served, holder: Holder) -> None:
    assert use_link(server, Purpose.RESET, holder.links[Purpose.RESET], by_page=True).status == 303


def change_email_by_api(server: Served, holder: Holder) -> str:
    fields = {"token": holder.links[Purpose.CHANGE_EMAIL]}
    answer = ask(server, "POST", LINKS[Purpose.CHANGE_EMAIL][1], fields, bearer=holder.this)
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["session"]["token"])


def change_email_by_page(server: Served, holder: Holder) -> str:
    path = LINKS[Purpose.CHANGE_EMAIL][0] + holder.links[Purpose.CHANGE_EMAIL]
    answer = ask(server, "POST", path, {}, cookies={"session": holder.this})
    assert answer.status == 303, answer
    return answer.cookies["session"]


def delete_by_api(server: Served, holder: Holder) -> None:
    answer = ask(
        server, "POST", "/api/v1/account/deletion", {"password": PASSWORD}, bearer=holder.this
    )
    assert answer.status == 204, answer


def delete_by_page(server: Served, holder: Holder) -> None:
    answer = ask(
        server, "POST", "/account/delete", {"password": PASSWORD}, cookies={"session": holder.this}
    )
    assert answer.status == 303, answer


def disable(server: Served, holder: Holder) -> None:
    async def mark() -> None:
        async with transaction(server.env) as session:
            await session.execute(
                update(User).where(User.id == holder.person.id).values(disabled_at=utcnow())
            )

    asyncio.run(mark())


MAILED = {purpose.value for purpose in LINKS}
# Whoever reads the former address's mail can object whatever else has happened: see
# `service.EVERYTHING`.
OBJECTION = {Purpose.OBJECT.value}


GOES_ON: dict[Event, set[str]] = {
    log_out_by_api: {"other", "token"} | MAILED,
    log_out_by_page: {"other", "token"} | MAILED,
    change_password_by_api: OBJECTION,
    change_password_by_page: OBJECTION,
    reset_password_by_api: OBJECTION,
    reset_password_by_page: OBJECTION,
    change_email_by_api: {"token"} | OBJECTION,
    change_email_by_page: {"token"} | OBJECTION,
    disable: set(),
    delete_by_api: set(),
    delete_by_page: set(),
}


@pytest.mark.parametrize("event", GOES_ON, ids=lambda event: event.__name__)
async def test_what_an_event_ends_is_refused_at_once_by_the_other_process_and_the_rest_goes_on(
    env: dict[str, str], pair: Pair, event: Event
) -> None:
    holder, goes_on = await make_holder(env, pair), GOES_ON[event]
    here, there = pair
    for server in pair:  # both have seen all of it by now
        assert (
            await asyncio.to_thread(what_works, server, holder)
            == {"this", "other", "token"} | MAILED
        )
    renewed = await asyncio.to_thread(event, here, holder)
    assert await asyncio.to_thread(what_works, there, holder) == goes_on
    if renewed:
        assert session_works(there, renewed)
    if Purpose.CONFIRM in goes_on:
        assert use_link(there, Purpose.CONFIRM, holder.links[Purpose.CONFIRM]).status == 204
    if goes_on:
        assert use_link(there, Purpose.OBJECT, holder.links[Purpose.OBJECT]).status == 200


@pytest.mark.parametrize("by_page", [False, True])
async def test_a_session_that_is_ended_from_another_one_is_refused_at_once_by_the_other_process(
    env: dict[str, str], pair: Pair, by_page: bool
) -> None:
    holder = await make_holder(env, pair)
    here, there = pair
    assert session_works(there, holder.other)
    if by_page:
        path, cookies = "/account/sessions/end-others", {"session": holder.this}
        assert ask(here, "POST", path, {}, cookies=cookies).status == 303
    else:
        assert ask(here, "DELETE", "/api/v1/account/sessions", bearer=holder.this).status == 204
    assert what_works(there, holder) == {"this", "token"} | MAILED


# Rows 7 and 8: limits.


def forged(number: int) -> Fields:
    """What a client may claim about where it comes from, each time something else."""
    address = f"203.0.113.{number % 250 + 1}"
    chain = address if number % 2 else f"{address}, 198.51.100.{number % 250 + 1}"
    return {
        "X-Forwarded-For": chain,
        "X-Real-IP": address,
        "Forwarded": f"for={address}",
        "True-Client-IP": address,
        "CF-Connecting-IP": address,
    }


LOG_IN, RESET, REGISTER = (
    "/api/v1/session",
    "/api/v1/account/password/reset/mail",
    "/api/v1/account",
)


@pytest.mark.parametrize(
    ("path", "same_account", "passed", "most"),
    [
        (LOG_IN, True, 401, 5),
        (LOG_IN, False, 401, 30),
        ("/account/login", True, 401, 5),
        (RESET, True, 202, 3),
        (RESET, False, 202, 20),
        ("/account/reset-password", True, 303, 3),
        (REGISTER, False, 202, 10),
    ],
)
async def test_claiming_other_addresses_changes_no_limit(
    pair: Pair, path: str, same_account: bool, passed: int, most: int
) -> None:
    email = new_email()
    statuses = []
    for number in range(most + 3):
        fields = {"email": email if same_account else new_email()}
        if path not in (RESET, "/account/reset-password"):
            fields["password"] = WRONG
        if path == REGISTER:
            fields |= {"first_name": "Robin", "last_name": "Example"}
        statuses.append(ask(pair[number % 2], "POST", path, fields, headers=forged(number)).status)
    assert statuses == [passed] * most + [429] * 3


def at_once(number: int, act: Callable[[int], Answer]) -> list[Answer]:
    """Do something several times in the same moment."""
    barrier = threading.Barrier(number)

    def start(index: int) -> Answer:
        barrier.wait()
        return act(index)

    with ThreadPoolExecutor(number) as executor:
        return list(executor.map(start, range(number)))


@pytest.mark.parametrize("surface", ["api", "page", "signed in"])
async def test_of_40_parallel_guesses_over_two_processes_at_most_5_are_checked(
    env: dict[str, str], pair: Pair, surface: str
) -> None:
    person = await make_person(env)
    secret = begin_session(pair[0], person) if surface == "signed in" else None
    path = {
        "api": LOG_IN,
        "page": "/account/login",
        "signed in": "/api/v1/session/reauthentication",
    }[surface]
    fields = {"password": WRONG} if secret else {"email": person.email, "password": WRONG}
    answers = at_once(40, lambda number: ask(pair[number % 2], "POST", path, fields, bearer=secret))
    found = Counter(answer.status for answer in answers)
    assert found == {429: 35, 403 if secret else 401: 5}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status == 429)


# Row 11: one secret, used 20 times at once.


async def stored(env: dict[str, str], person: Person) -> User:
    async with transaction(env) as session:
        return await session.get_one(User, person.id)


@pytest.mark.parametrize("purpose", LINKS)
async def test_of_20_parallel_uses_of_a_link_over_two_processes_one_wins(
    env: dict[str, str], pair: Pair, purpose: Purpose
) -> None:
    invited = purpose is Purpose.INVITE
    person = await make_person(
        env, confirmed=purpose not in (Purpose.CONFIRM, Purpose.INVITE), invited=invited
    )
    new = new_email() if purpose is Purpose.CHANGE_EMAIL else person.email
    secret = await make_credential(env, person, purpose, new)

    def use(number: int) -> Answer:
        """Half of them here, half there; half by API, half by page."""
        server, by_page = pair[number % 2], number % 4 >= 2
        password = f"{NEW} {number}"
        fields = dict((PAGE_FIELDS if by_page else API_FIELDS).get(purpose, {}))
        fields = dict.fromkeys(fields, password)
        if by_page:
            return ask(server, "POST", LINKS[purpose][0] + secret, fields)
        return ask(server, "POST", LINKS[purpose][1], {"token": secret, **fields})

    answers = await asyncio.to_thread(at_once, 20, use)
    won = [number for number, answer in enumerate(answers) if answer.status in (200, 204, 303)]
    assert len(won) == 1, Counter(answer.status for answer in answers)
    assert Counter(answer.status for answer in answers)[410] == 19
    user = await stored(env, person)
    assert (user.email, user.confirmed) == (new, True)
    if purpose in API_FIELDS:
        assert PasswordHasher().verify(str(user.password_hash), f"{NEW} {won[0]}"), (
            "the winner's password counts"
        )
    if purpose is Purpose.OBJECT:
        async with transaction(env) as session:
            mine = (Credential.user_id == person.id, Credential.purpose == Purpose.RESET)
            assert (await session.execute(select(func.count()).where(*mine))).scalar_one() == 1


# Row 12: nobody learns who has an account, neither from the answer nor from the time it takes.

SAMPLES = 200
APART = 0.005  # seconds between the medians
# the same as a part of them: on a machine that has other things to do all of it takes longer
STRETCHED = 0.1
TRIES = 3

Request = Callable[[], tuple[str, Fields, str]]  # the path, the fields, and what must not show


@pytest.fixture(scope="module")
def unlimited(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose limits nobody reaches; no worker runs."""
    with served(env | NO_LIMITS_AT_ALL, tmp_path_factory.mktemp("unlimited") / "web.log") as server:
        yield server


def seen(answer: Answer, hidden: str) -> tuple[int, frozenset[str], str, str]:
    """What somebody sees, without the address or secret that they sent and the number of their
    request.
    """
    body = answer.body.replace(hidden, "…").replace(answer.headers["x-request-id"], "…")
    return (
        answer.status,
        frozenset(answer.headers),
        answer.headers.get("location", "").replace(hidden, "…"),
        body,
    )


def compare(server: Served, known: Request, unknown: Request, bearer: str | None = None) -> None:
    """Ask about both, again and again: the answers are the same, and so is the time they take."""
    medians = []
    for _ in range(TRIES):
        times: dict[Request, list[float]] = {known: [], unknown: []}
        answers = set()
        with closing(
            http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        ) as connection:
            for number in range(SAMPLES + 5):
                for each in (known, unknown):
                    path, fields, hidden = each()
                    started = time.perf_counter()
                    answer = ask(connection, "POST", path, fields, bearer=bearer)
                    elapsed = time.perf_counter() - started
                    answers.add(seen(answer, hidden))
                    if number >= 5:  # the first warm everything up
                        times[each].append(elapsed)
        assert len(answers) == 1, answers
        assert answers.pop()[0] not in (429, 503)
        medians.append([statistics.median(times[each]) for each in (known, unknown)])
        path = path.replace(hidden, "…")
        print(
            f"{path}: known {medians[-1][0] * 1000:.2f} ms, unknown {medians[-1][1] * 1000:.2f} ms"
        )
        if abs(medians[-1][0] - medians[-1][1]) < max(APART, STRETCHED * min(medians[-1])):
            return
    raise AssertionError(f"{path}: medians of known and unknown in seconds: {medians}")


def each_of(people: list[Person]) -> Iterator[str]:
    while True:
        for person in people:
            yield person.email


@pytest.fixture(scope="module")
async def people(env: dict[str, str]) -> list[Person]:
    """Enough for every sample to be about somebody else."""
    return await make_people(env, SAMPLES + 5)


def test_logging_in_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person]
) -> None:
    emails = each_of(people)

    def attempt(email: str) -> tuple[str, Fields, str]:
        return LOG_IN, {"email": email, "password": WRONG}, email

    compare(unlimited, lambda: attempt(next(emails)), lambda: attempt(new_email()))


def test_registering_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person]
) -> None:
    emails = each_of(people)

    def attempt(email: str) -> tuple[str, Fields, str]:
        return (
            REGISTER,
            {"email": email, "password": NEW, "first_name": "Robin", "last_name": "Example"},
            email,
        )

    compare(unlimited, lambda: attempt(next(emails)), lambda: attempt(new_email()))


@pytest.mark.parametrize("path", [RESET, "/account/reset-password"])
def test_asking_for_a_reset_does_not_tell_who_has_an_account(
    unlimited: Served, people: list[Person], path: str
) -> None:
    emails = each_of(people)

    def attempt(email: str) -> tuple[str, Fields, str]:
        return path, {"email": email}, email

    compare(unlimited, lambda: attempt(next(emails)), lambda: attempt(new_email()))


async def test_changing_ones_address_does_not_tell_who_has_an_account(
    env: dict[str, str], unlimited: Served, people: list[Person]
) -> None:
    secret = begin_session(unlimited, await make_person(env))
    emails = each_of(people)

    def attempt(email: str) -> tuple[str, Fields, str]:
        return "/api/v1/account/email", {"email": email, "password": PASSWORD}, email

    await asyncio.to_thread(
        compare,
        unlimited,
        lambda: attempt(next(emails)),
        lambda: attempt(new_email()),
        bearer=secret,
    )


@pytest.mark.parametrize("by_page", [False, True], ids=["api", "page"])
@pytest.mark.parametrize("state", ["used", "expired"])
async def test_an_invitation_that_works_no_more_looks_like_one_that_never_was(
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

    def attempt(token: str) -> tuple[str, Fields, str]:
        if by_page:
            return LINKS[Purpose.INVITE][0] + token, PAGE_FIELDS[Purpose.INVITE], token
        return LINKS[Purpose.INVITE][1], {"token": token, "password": NEW}, token

    await asyncio.to_thread(
        compare, unlimited, lambda: attempt(secret), lambda: attempt(new_secret())
    )


def page_and_next(
    server: Served, path: str, fields: Fields, secret: str | None
) -> tuple[object, ...]:
    """What a browser shows: the answer, and the page that it leads to, with its message."""
    hidden = fields["email"]
    cookies = {"session": secret} if secret else {}
    answer = ask(server, "POST", path, fields, cookies=cookies)
    shown: tuple[object, ...] = (*seen(answer, hidden), frozenset(answer.cookies))
    if answer.status == 303:
        following = ask(server, "GET", answer.headers["location"], cookies=cookies | answer.cookies)
        shown += seen(following, hidden)
    return shown


@pytest.mark.parametrize("page", ["login", "register", "reset-password", "manage/change-email"])
async def test_a_page_shows_the_same_for_every_kind_of_account_and_for_none(
    env: dict[str, str], unlimited: Served, page: str
) -> None:
    kinds = [await make_person(env), await make_person(env, confirmed=False)]
    kinds += [
        await make_person(env, confirmed=False, invited=True),
        disabled := await make_person(env),
    ]
    async with transaction(env) as session:
        await session.execute(
            update(User).where(User.id == disabled.id).values(disabled_at=utcnow())
        )
    fields: Fields = {}
    if page == "login":
        fields = {"password": WRONG}
    elif page == "register":
        fields = {"password": NEW, "password2": NEW, "first_name": "Robin", "last_name": "Example"}
    elif page != "reset-password":
        fields = {"password": PASSWORD}
    secret = begin_session(unlimited, await make_person(env)) if "manage" in page else None
    shown = {
        page_and_next(unlimited, f"/account/{page}", {"email": email, **fields}, secret)
        for email in [*(person.email for person in kinds), new_email()]
    }
    assert len(shown) == 1
    assert re.search(r"303|401", str(shown.pop()[0]))


async def test_the_limits_do_not_tell_who_has_an_account(env: dict[str, str], pair: Pair) -> None:
    found = []
    for email in ((await make_person(env)).email, new_email()):
        log_in = [
            ask(pair[n % 2], "POST", LOG_IN, {"email": email, "password": WRONG}).status
            for n in range(7)
        ]
        reset = [ask(pair[n % 2], "POST", RESET, {"email": email}).status for n in range(5)]
        found.append(log_in + reset)
    assert found[0] == found[1] == [401] * 5 + [429] * 2 + [202] * 3 + [429] * 2


# Limits while Redis is away.


@pytest.fixture(params=["killed", "frozen"])
async def redis_goes(
    request: pytest.FixtureRequest, env: dict[str, str], tmp_path: Path
) -> AsyncIterator[tuple[Served, Callable[[], None]]]:
    """A server with a Redis of its own, and what makes that go away."""
    valkey, socket = start_valkey(tmp_path)
    number = signal.SIGKILL if request.param == "killed" else signal.SIGSTOP
    try:
        with served(env | {"REDIS_URL": f"unix://{socket}"}, tmp_path / "web.log") as server:
            yield server, lambda: signal_redis(valkey, number)
    finally:
        with suppress(CalledProcessError):
            signal_redis(valkey, signal.SIGCONT)
        valkey.stop()


async def test_without_redis_resets_and_passwords_are_limited_all_the_same_and_nobody_waits(
    env: dict[str, str], redis_goes: tuple[Served, Callable[[], None]]
) -> None:
    server, go = redis_goes
    resetter, signed_in = await make_people(env, 2)
    secret = begin_session(server, signed_in)
    go()
    times: list[float] = []

    def status(path: str, fields: Fields, bearer: str | None = None) -> int:
        started = time.monotonic()
        answer = ask(server, "POST", path, fields, bearer=bearer)
        times.append(time.monotonic() - started)
        assert answer.status != 429 or int(answer.headers["retry-after"]) > 0
        return answer.status

    resets = [status(RESET, {"email": resetter.email}) for _ in range(5)]
    assert resets == [202] * 3 + [429] * 2
    guesses = [
        status("/api/v1/session/reauthentication", {"password": WRONG}, secret) for _ in range(7)
    ]
    assert guesses == [403] * 5 + [429] * 2
    for path, fields in (  # whichever form is guessed at
        ("/api/v1/account/password", {"old_password": PASSWORD, "new_password": NEW}),
        ("/api/v1/account/email", {"email": new_email(), "password": PASSWORD}),
        ("/api/v1/account/deletion", {"password": PASSWORD}),
        (LOG_IN, {"email": signed_in.email, "password": PASSWORD}),
    ):
        assert status(path, fields, secret) == 429, path
    assert ask(server, "GET", "/api/v1/account", bearer=secret).status == 200
    assert max(times) < 2
