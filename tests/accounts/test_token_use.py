"""API tokens in use: refused when they are mistyped or have ended, and noted."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import Engine, event, select, update

from app.accounts import tokens
from app.auth.models import Credential, Purpose, User
from app.auth.tokens import new_api_token, new_secret
from app.config import Config
from app.database import db
from app.prepared import PreparedSelect
from tests.factories.people import PASSWORD, Person
from tests.factories.tokens import bearer, make_token, token_row

PATH = "/api/v1/account/tokens"
ACCOUNT = "/api/v1/account"
WANTED: dict[str, Any] = {"name": "Nightly export", "scopes": ["write", "read"]}
TRY_IT = {"scope_base": {"client": ("192.0.2.7", 1)}}  # from where a program calls
AGENT = "backup/1.0"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement that the database is asked, by whatever way."""
    found: list[str] = []
    first = PreparedSelect.first

    async def noted(self: PreparedSelect, *values: Any, **more: Any) -> Any:
        found.append("a prepared SELECT")
        return await first(self, *values, **more)

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    monkeypatch.setattr(PreparedSelect, "first", noted)
    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


async def status(app: Quart, secret: str) -> int:
    answer = await app.test_client().get(ACCOUNT, headers=bearer(secret))
    return answer.status_code


async def row_of(user_id: int) -> Credential:
    mine = (Credential.user_id == user_id, Credential.purpose == Purpose.TOKEN)
    async with db.session() as session:
        return (await session.execute(select(Credential).where(*mine))).scalar_one()


async def test_no_log_holds_a_token(
    app: Quart, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        secret = (await (await browser.post(PATH, json=WANTED)).get_json())["token"]
        await status(app, secret)
        await status(app, secret[:-1])
        await app.test_client().get("/account/manage", headers=bearer(secret))
        logging.getLogger("app").info("%r", tokens.NewToken(token_row(1, secret), secret))
    assert caplog.records
    assert secret[3:20] not in caplog.text


async def test_a_mistyped_token_is_refused_without_the_database(
    app: Quart, settings: Config, robin: Person, asked: list[str]
) -> None:
    settings.API_LIMIT = "10000/minute"
    secret = await make_token(robin.id)
    wrong = [
        secret[:place] + ("a" if secret[place] != "a" else "b") + secret[place + 1 :]
        for place in range(len(secret))
    ]
    wrong += [secret[:place] for place in (1, 10, 43, 51)]
    wrong += [f"{secret}x", "x", new_secret()[:-1], f"{new_secret()}x"]
    client = app.test_client()
    asked.clear()
    for each in wrong:
        answer = await client.get(ACCOUNT, headers=bearer(each))
        problem = await answer.get_json()
        assert (answer.status_code, problem["code"]) == (401, "invalid-token"), each
        assert "mistyped or incomplete" in problem["detail"]
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert asked == []
    assert await status(app, secret) == 200
    assert asked != []


@pytest.mark.parametrize("make", [new_api_token, new_secret])
async def test_an_unknown_token_is_said_to_be_unknown(app: Quart, make: Any) -> None:
    answer = await app.test_client().get(ACCOUNT, headers=bearer(make()))
    problem = await answer.get_json()
    assert (answer.status_code, problem["code"]) == (401, "invalid-token")
    assert "unknown, or it has ended" in problem["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    nobody = await app.test_client().get(ACCOUNT)
    assert (await nobody.get_json())["code"] == "not-signed-in"
    assert nobody.headers["WWW-Authenticate"] == "Bearer"


async def test_an_ended_token_still_lets_one_log_in(app: Quart, robin: Person) -> None:
    credentials = {"email": robin.email, "password": PASSWORD}
    for sent in (new_secret(), new_api_token(), "nonsense"):
        answer = await app.test_client().post(
            "/api/v1/session", json=credentials, headers=bearer(sent)
        )
        assert answer.status_code == 201


async def test_a_session_works_as_a_bearer_and_a_token_not_as_a_cookie(
    app: Quart, robin: Person
) -> None:
    credentials = {"email": robin.email, "password": PASSWORD}
    answer = await app.test_client().post("/api/v1/session", json=credentials)
    assert await status(app, (await answer.get_json())["token"]) == 200
    browser = app.test_client()
    browser.set_cookie("localhost", "session_testing", await make_token(robin.id))
    assert (await browser.get(ACCOUNT)).status_code == 401


async def test_the_first_use_is_noted_at_once_and_later_ones_from_time_to_time(
    app: Quart, browser: Browser, robin: Person, settings: Config
) -> None:
    secret, client = await make_token(robin.id), app.test_client()
    before = await row_of(robin.id)
    assert before.used_at is None
    headers = {**bearer(secret), "User-Agent": AGENT}
    await client.get(ACCOUNT, headers=headers, **TRY_IT)
    first = await row_of(robin.id)
    assert (first.address, first.user_agent) == ("192.0.2.7", AGENT)
    assert first.used_at is not None
    assert first.used_at > before.created_at
    await client.get(ACCOUNT, headers={**headers, "User-Agent": "other"})
    assert (await row_of(robin.id)).user_agent == AGENT
    settings.SESSION_TOUCH = 0
    await client.get(ACCOUNT, headers={**headers, "User-Agent": "other"})
    second = await row_of(robin.id)
    assert second.user_agent == "other"
    assert second.used_at is not None
    assert second.used_at > first.used_at
    assert second.expires_at == before.expires_at
    [listed] = (await (await browser.get(PATH)).get_json())["items"]
    assert datetime.fromisoformat(listed["last_used_at"]).astimezone(UTC) == second.used_at


async def test_an_expired_token_is_refused_and_not_listed(
    app: Quart, browser: Browser, robin: Person
) -> None:
    secret = await make_token(robin.id, days=-0.001)
    assert await status(app, secret) == 401
    assert (await (await browser.get(PATH)).get_json())["items"] == []


async def test_who_must_choose_a_password_first_must_with_a_token_too(
    app: Quart, robin: Person
) -> None:
    secret, client = await make_token(robin.id), app.test_client()
    async with db.transaction() as session:
        await session.execute(update(User).values(must_change_password=True))
    name = {"first_name": "Kim", "last_name": "Other"}
    answer = await client.patch(ACCOUNT, json=name, headers=bearer(secret))
    assert (answer.status_code, (await answer.get_json())["code"]) == (
        403,
        "password-change-required",
    )
