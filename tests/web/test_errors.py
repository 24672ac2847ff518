"""What people and programs are told when something goes wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select, text
from sqlalchemy.exc import TimeoutError as PoolExhausted

from app import create_app
from app.auth.models import User
from app.database import db
from app.errors import Busy, NotFound, TooMany
from app.web.access import public, unlimited
from tests.conftest import MakeApp

CANARY = "canary-4711"


async def ask_for_nobody() -> None:
    raise NotFound("There is no such user.")


async def too_often() -> None:
    raise TooMany("That was too often.", retry_after=17)


async def too_much() -> None:
    raise Busy("Too many at once.")


async def overflow() -> None:
    async with db.session() as session:
        await session.execute(select(User).where(User.id == 10**30))


async def nul() -> str:
    async with db.session() as session:
        await session.execute(select(User).where(User.email == "a\x00b"))
    return "SQLite does not mind"


async def refused() -> None:
    raise ConnectionRefusedError(CANARY)


async def hung() -> None:
    raise TimeoutError(CANARY)


async def exhausted() -> None:
    raise PoolExhausted("QueuePool limit")


async def mistake() -> None:
    raise RuntimeError(CANARY)


async def wrong_sql() -> None:
    async with db.session() as session:
        await session.execute(text("SELECT nothing FROM nowhere"))


CASES = {
    ask_for_nobody: 404,
    too_often: 429,
    too_much: 503,
    overflow: 400,
    refused: 503,
    hung: 503,
    exhausted: 503,
    mistake: 500,
}


@pytest.fixture(scope="module")
async def broken(app: Quart) -> AsyncIterator[Quart]:
    """Build another application on the same database, with routes that fail in every way."""
    own = create_app("testing")
    views: list[Any] = [*CASES, nul, wrong_sql]
    for view in views:
        for prefix in ("/test/", "/api/test/"):
            own.add_url_rule(
                f"{prefix}{view.__name__}", f"test_{view.__name__}", unlimited(public(view))
            )
    await own.startup()
    yield own
    await own.shutdown()


@pytest.mark.parametrize(
    ("view", "status"), CASES.items(), ids=lambda value: getattr(value, "__name__", None)
)
async def test_each_error_is_a_page_for_people_and_a_problem_for_programs(
    broken: Quart, view: object, status: int
) -> None:
    client = broken.test_client()
    name = view.__name__  # type: ignore[attr-defined]
    page = await client.get(f"/test/{name}", headers={"Accept": "text/html"})
    text_ = await page.get_data(as_text=True)
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert page.headers["X-Request-Id"] in text_
    problem = await client.get(f"/api/test/{name}")
    body = await problem.get_json()
    assert (problem.status_code, problem.mimetype) == (status, "application/problem+json")
    assert (body["status"], body["request_id"]) == (status, problem.headers["X-Request-Id"])
    assert {"type", "title", "detail", "code"} <= body.keys()
    assert CANARY not in text_ + str(body), "what went wrong inside is nobody's business"
    if status in (429, 503):
        assert int(problem.headers["Retry-After"]) > 0


@pytest.mark.parametrize("view", [nul, wrong_sql], ids=lambda view: str(view.__name__))
async def test_other_errors_of_the_database_are_no_tracebacks_either(
    broken: Quart, backend: str, view: object
) -> None:
    response = await broken.test_client().get(f"/api/test/{view.__name__}")  # type: ignore[attr-defined]
    assert response.status_code == (
        500 if view is wrong_sql else 200 if backend == "sqlite" else 400
    )
    assert "SELECT" not in await response.get_data(as_text=True)


async def test_a_mistake_of_ours_is_logged_with_its_traceback_and_request(
    broken: Quart, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await broken.test_client().get("/test/mistake")
    [record] = [record for record in caplog.records if record.exc_info]
    assert CANARY in str(record.exc_info)


async def test_a_program_that_accepts_only_json_gets_json_everywhere(client: Browser) -> None:
    response = await client.get("/no-such-page", headers={"Accept": "application/json"})
    assert response.mimetype == "application/problem+json"
    response = await client.get("/no-such-page", headers={"Accept": "*/*"})
    assert response.mimetype == "text/html"


async def test_a_wrong_method_says_which_are_right(client: Browser) -> None:
    response = await client.put("/account/login")
    assert response.status_code == 405
    assert {"GET", "POST"} <= set(response.headers["Allow"].replace(" ", "").split(","))


async def test_pages_answer_503_when_the_database_is_away(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/test")
    client = make_app().test_client()
    assert (await client.get("/")).status_code == 200, "nobody's home page needs no database"
    client.set_cookie("localhost", "session_testing", "somebodys")
    for path in ("/", "/account/manage", "/admin", "/api/v1/account"):
        response = await client.get(path)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert (await client.get("/no-such-page")).status_code == 404
    assert (await client.get("/static/app.css")).status_code == 200


async def test_two_requests_at_once_have_two_ids(client: Browser) -> None:
    responses = await asyncio.gather(client.get("/"), client.get("/"))
    assert len({response.headers["X-Request-Id"] for response in responses}) == 2
