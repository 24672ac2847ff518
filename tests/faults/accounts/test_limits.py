"""Rate limits of accounts, over two server processes, and while Redis is away."""

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from tests.accounts.surfaces import (
    API,
    CHANGE_PASSWORD,
    DELETE_ACCOUNT,
    LOG_IN,
    PAGE,
    REAUTHENTICATE,
    REGISTER,
    REQUEST_EMAIL_CHANGE,
    REQUEST_RESET,
    SEE_ACCOUNT,
    Flow,
)
from tests.factories.people import PASSWORD
from tests.faults.accounts.deployed import (
    NEW,
    WRONG,
    Fields,
    Pair,
    at_once,
    begin_session,
    make_people,
    make_person,
    new_email,
    send,
)
from tests.faults.conftest import signal_redis
from tests.processes import Served, served
from tests.servers import start_valkey

pytestmark = pytest.mark.faults


def forged(number: int) -> Fields:
    """Return what a client may claim about where it comes from, each time something else."""
    ip = f"203.0.113.{number % 250 + 1}"
    return {
        "X-Forwarded-For": ip if number % 2 else f"{ip}, 198.51.100.{number % 250 + 1}",
        "X-Real-IP": ip,
        "Forwarded": f"for={ip}",
        "True-Client-IP": ip,
        "CF-Connecting-IP": ip,
    }


@pytest.mark.parametrize(
    ("flow", "by_page", "same_account", "passed", "most"),
    [
        (LOG_IN, API, True, 401, 5),
        (LOG_IN, API, False, 401, 30),
        (LOG_IN, PAGE, True, 401, 5),
        (REQUEST_RESET, API, True, 202, 20),
        (REQUEST_RESET, API, False, 202, 20),
        (REQUEST_RESET, PAGE, True, 303, 20),
        (REGISTER, API, False, 202, 10),
    ],
)
async def test_claiming_other_ips_changes_no_limit(
    pair: Pair, flow: Flow, by_page: bool, same_account: bool, passed: int, most: int
) -> None:
    email = new_email()
    statuses = []
    for number in range(most + 3):
        fields = {"email": email if same_account else new_email()}
        if flow is not REQUEST_RESET:
            fields["password"] = WRONG
        if flow is REGISTER:
            fields |= {"first_name": "Robin", "last_name": "Example"}
        request = flow.request(fields, by_page=by_page)
        statuses.append(send(pair[number % 2], request, headers=forged(number)).status)
    assert statuses == [passed] * most + [429] * 3


@pytest.mark.parametrize("surface", ["api", "page", "signed in"])
async def test_of_40_parallel_guesses_over_two_processes_at_most_5_are_checked(
    env: dict[str, str], pair: Pair, surface: str
) -> None:
    person = await make_person(env)
    secret = begin_session(pair[0], person) if surface == "signed in" else None
    fields = {"password": WRONG} if secret else {"email": person.email, "password": WRONG}
    flow = REAUTHENTICATE if secret else LOG_IN
    request = flow.request(fields, by_page=surface == "page")
    answers = at_once(40, lambda number: send(pair[number % 2], request, secret))
    found = Counter(answer.status for answer in answers)
    assert found == {429: 35, 403 if secret else 401: 5}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status == 429)


async def test_the_limits_do_not_tell_who_has_an_account(env: dict[str, str], pair: Pair) -> None:
    found = []
    for email in ((await make_person(env)).email, new_email()):
        guess = LOG_IN.request({"email": email, "password": WRONG}, by_page=API)
        reset = REQUEST_RESET.request({"email": email}, by_page=API)
        requests = [guess] * 7 + [reset] * 5
        found.append([send(pair[n % 2], request).status for n, request in enumerate(requests)])
    assert found[0] == found[1] == [401] * 5 + [429] * 2 + [202] * 5


@pytest.fixture(params=["killed", "frozen"])
async def redis_goes(
    request: pytest.FixtureRequest, env: dict[str, str], tmp_path: Path
) -> AsyncIterator[tuple[Served, Callable[[], None]]]:
    """Start a server with a Redis of its own; yields it, and what makes that Redis go away."""
    valkey, socket = start_valkey(tmp_path)
    number = signal.SIGKILL if request.param == "killed" else signal.SIGSTOP
    try:
        own = env | {"REDIS_URL": f"unix://{socket}", "RESET_LIMIT_ADDRESS": "3/hour"}
        with served(own, tmp_path / "web.log") as server:
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

    def status(flow: Flow, fields: Fields, secret: str | None = None) -> int:
        started = time.monotonic()
        answer = send(server, flow.request(fields, by_page=API), secret)
        times.append(time.monotonic() - started)
        assert answer.status != 429 or int(answer.headers["retry-after"]) > 0
        return answer.status

    resets = [status(REQUEST_RESET, {"email": resetter.email}) for _ in range(5)]
    assert resets == [202] * 3 + [429] * 2
    guesses = [status(REAUTHENTICATE, {"password": WRONG}, secret) for _ in range(7)]
    assert guesses == [403] * 5 + [429] * 2
    for flow, fields in (  # whichever form is guessed at
        (CHANGE_PASSWORD, {"old_password": PASSWORD, "new_password": NEW}),
        (REQUEST_EMAIL_CHANGE, {"email": new_email(), "password": PASSWORD}),
        (DELETE_ACCOUNT, {"password": PASSWORD}),
    ):
        assert status(flow, fields, secret) == 429, flow
    guess = {"email": signed_in.email, "password": WRONG}
    guesses = [status(LOG_IN, guess) for _ in range(7)]
    assert guesses == [401] * 5 + [429] * 2, "not counted with those of the session"
    assert send(server, SEE_ACCOUNT.request(by_page=API), secret).status == 200
    assert max(times) < 2
