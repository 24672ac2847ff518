"""Who chooses what a limit is counted for: no stranger can fill one that keeps an owner out."""

import ast
from collections.abc import Iterator

import pytest
from quart import Quart

from app.accounts import confirmation, links
from app.accounts import log_in as log_in_service
from app.accounts.schemas import SetUp
from app.auth.identity import Client
from app.auth.models import Purpose
from app.auth.password_checks import TooManyGuesses, WrongCredentials
from app.config import Config
from app.database import db
from app.environment import PROJECT_ROOT
from app.validators.email_address import email_address
from tests.factories.people import PASSWORD, make_person
from tests.mail import acts

OWN = "the caller's own: their user, session, device or link"
NETWORK = "everybody at one ip; the owner may use another one, or wait"
STRANGERS = "anybody: see the test of the owner's way past it"
SILENT = "anybody, and the answer is the same"

# What is counted, by which rule, and who can fill it. What is new here needs a line, and if anybody
# can fill it, a test of what becomes of the owner.
FILLED_BY = {
    ("app/auth/password_checks.py", "login", "LOGIN_LIMIT_ADDRESS"): NETWORK,  # unknown devices
    ("app/auth/password_checks.py", "login", "LOGIN_LIMIT_ACCOUNT_ADDRESS"): NETWORK,  # or a device
    ("app/auth/password_checks.py", "login", "LOGIN_LIMIT_ACCOUNT"): STRANGERS,
    ("app/auth/password_checks.py", "password", "LOGIN_LIMIT_ACCOUNT_ADDRESS"): OWN,
    ("app/accounts/log_in.py", "guessing-notice", "NOTICES"): SILENT,
    ("app/accounts/registration.py", "register", "REGISTRATION_LIMIT"): NETWORK,
    ("app/accounts/registration.py", "confirmation", "CONFIRMATION_LIMIT"): OWN,
    ("app/accounts/passwords.py", "reset", "RESET_LIMIT_ADDRESS"): NETWORK,
    ("app/accounts/email_change.py", "change-email", "CONFIRMATION_LIMIT"): OWN,
    ("app/accounts/tokens.py", "token", "TOKEN_LIMIT"): OWN,
    ("app/web/access.py", "route", "PAGE_LIMIT"): NETWORK,  # what is not found
    # Of whoever is signed in their own, else of the ip.
    ("app/web/access.py", "route", "rule"): NETWORK,
    ("app/web/websockets.py", "route", "rule_of"): NETWORK,
}


def counted() -> Iterator[tuple[str, str, str]]:
    """Yield each place that counts something: its file, what it counts, and its rule."""
    for path in sorted((PROJECT_ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and len(node.args) > 2):
                continue
            name, rule = node.args[0], node.args[1]
            called = ast.unparse(node.func)
            if called in ("limits.hit", "limits.require_room", "count"):
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}"
                shown = rule.func if isinstance(rule, ast.Call) else rule
                yield (
                    str(path.relative_to(PROJECT_ROOT)),
                    str(name.value),
                    ast.unparse(shown).removeprefix("settings."),
                )


def test_of_every_limit_it_is_known_who_can_fill_it() -> None:
    assert set(counted()) == set(FILLED_BY)


def test_what_everybody_can_fill_is_the_limit_on_guesses_alone() -> None:
    anybody = [rule for (_, _, rule), who in FILLED_BY.items() if who is STRANGERS]
    assert anybody == ["LOGIN_LIMIT_ACCOUNT"]


def at(number: int, device: str = "") -> Client:
    return Client(f"203.0.113.{number}", "", local=False, device=device)


async def log_in(email: str, client: Client, password: str = PASSWORD) -> None:
    await log_in_service.log_in(email, password, client, remember=False)


async def fill(email: str) -> None:
    """Use up the wrong passwords of all strangers: LOGIN_LIMIT_ACCOUNT is two."""
    for number in range(2):
        with pytest.raises(WrongCredentials):
            await log_in(email, at(number), acts.NEW)
    with pytest.raises(TooManyGuesses, match=r"reset (your|the) password .*in this browser"):
        await log_in(email, at(9))


@pytest.fixture
def few(settings: Config) -> None:
    settings.LOGIN_LIMIT_ACCOUNT = "2/day"


async def test_a_known_device_gets_past_the_guesses_of_strangers(app: Quart, few: None) -> None:
    person = await make_person()
    await log_in(person.email, at(1, "d" * 43))
    await fill(person.email)
    await log_in(person.email, at(2, "d" * 43))
    with pytest.raises(TooManyGuesses):
        await log_in(person.email, at(2, "e" * 43))


async def test_who_sets_an_address_up_gets_past_what_was_guessed_before(
    app: Quart, few: None
) -> None:
    email = "Newcomer@example.com"
    await fill(email)
    async with db.transaction() as session:
        to = email_address(email)
        secret = links.new_link(session, Purpose.CONFIRM, to, user_id=None)
    chosen = {"first_name": "Robin", "last_name": "Example", "password": PASSWORD}
    await confirmation.set_up(secret, SetUp.model_validate(chosen), at(3))
    await log_in(email, at(4))


async def test_the_limit_of_one_spelling_is_that_of_all(app: Quart, few: None) -> None:
    person = await make_person()
    await fill(person.email.upper())
    with pytest.raises(TooManyGuesses):
        await log_in(person.email, at(8))
