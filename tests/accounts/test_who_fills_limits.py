"""Who chooses what a limit is counted for: no stranger can fill one that keeps an owner out."""

import ast
import re
from collections.abc import Iterator

import pytest
from quart import Quart

from app.config import Config
from app.environment import PROJECT_ROOT
from tests.factories.people import PASSWORD, make_person

WRONG = "not what it is at all"
OWN = "the caller's own: their user, session, device or link"
NETWORK = "everybody at one ip; the owner may use another one, or wait"
STRANGERS = "anybody: see the test of the owner's way past it"
SILENT = "anybody, and the answer is the same"

# What is counted, by which rule, and who can fill it. What is new here needs a line, and if anybody
# can fill it, a test of what becomes of the owner.
FILLED_BY = {
    ("login", "LOGIN_LIMIT_ADDRESS"): NETWORK,  # of unknown devices
    ("login", "LOGIN_LIMIT_ACCOUNT_ADDRESS"): NETWORK,  # a known device has its own
    ("login", "LOGIN_LIMIT_ACCOUNT"): STRANGERS,
    ("password", "LOGIN_LIMIT_ACCOUNT_ADDRESS"): OWN,
    ("guessing-notice", "NOTICES"): SILENT,
    ("register", "REGISTRATION_LIMIT"): NETWORK,
    ("confirmation", "CONFIRMATION_LIMIT"): OWN,
    ("reset", "RESET_LIMIT_ADDRESS"): NETWORK,
    ("change-email", "CONFIRMATION_LIMIT"): OWN,
    ("route", "PAGE_LIMIT"): NETWORK,  # of what is not found
    ("route", "rule_of"): NETWORK,  # of whoever is signed in their own
}


def counted() -> Iterator[tuple[str, str]]:
    """Yield what each place in the product counts, and its rule."""
    for path in sorted((PROJECT_ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and len(node.args) > 2):
                continue
            name, rule = node.args[0], node.args[1]
            if ast.unparse(node.func) in ("limits.hit", "limits.require_room", "count"):
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}"
                shown = rule.func if isinstance(rule, ast.Call) else rule
                yield str(name.value), ast.unparse(shown).removeprefix("settings.")


def test_of_every_limit_it_is_known_who_can_fill_it() -> None:
    assert set(counted()) == set(FILLED_BY)


def test_what_everybody_can_fill_is_the_limit_on_guesses_alone() -> None:
    anybody = [rule for (_, rule), who in FILLED_BY.items() if who is STRANGERS]
    assert anybody == ["LOGIN_LIMIT_ACCOUNT"]


async def log_in(
    app: Quart, email: str, ip: int, device: str = "", password: str = PASSWORD
) -> int:
    client = app.test_client()
    if device:
        client.set_cookie("localhost", "device_testing", device)
    response = await client.post(
        "/api/v1/session",
        json={"email": email, "password": password},
        scope_base={"client": (f"203.0.113.{ip}", 1)},
    )
    if response.status_code == 429:
        detail = (await response.get_json())["detail"]
        assert re.search("reset (your|the) password .*in this browser", detail)
    return response.status_code


async def fill(app: Quart, email: str) -> None:
    """Use up the wrong passwords of all strangers: LOGIN_LIMIT_ACCOUNT is two."""
    assert [await log_in(app, email, ip, password=WRONG) for ip in range(1, 4)] == [401, 401, 429]


@pytest.fixture
def few(settings: Config) -> None:
    settings.LOGIN_LIMIT_ACCOUNT = "2/day"


async def test_a_known_device_gets_past_the_guesses_of_strangers(app: Quart, few: None) -> None:
    person = await make_person()
    assert await log_in(app, person.email, 4, "d" * 43) == 201
    await fill(app, person.email)
    assert await log_in(app, person.email, 5) == 429
    assert await log_in(app, person.email, 5, "d" * 43) == 201
    assert await log_in(app, person.email, 5, "e" * 43) == 429


async def test_the_limit_of_one_spelling_is_that_of_all(app: Quart, few: None) -> None:
    person = await make_person()
    await fill(app, person.email.upper())
    assert await log_in(app, person.email, 5) == 429
