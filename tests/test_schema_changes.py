"""Requests that run while a migration changes the tables that they use."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import text

from app import create_app, migrations
from app.config import load_settings
from app.database import db
from app.web.access import public, unlimited
from tests.conftest import create_database
from tests.factories.people import insert_roles, log_in, make_person

CHANGES = (
    "ALTER TABLE users ALTER first_name TYPE text",
    "ALTER TABLE users ADD COLUMN surprise integer DEFAULT 7",
    "ALTER TABLE users ALTER email TYPE varchar(300)",
    "ALTER TABLE users DROP COLUMN surprise",
    "ALTER TABLE credentials ALTER label TYPE text, ALTER user_agent TYPE text",
    "ALTER TABLE roles ALTER name TYPE text",
    "ALTER TABLE users ALTER first_name TYPE varchar(64)",
)


@public
@unlimited
async def moods() -> str:
    """Show a value of a type of the database's own."""
    async with db.connect() as connection:
        return str((await connection.execute(text("SELECT mood FROM moods"))).scalar())


async def execute(app: Quart, *statements: str) -> None:
    """Change the schema, in one transaction."""
    async with app.app_context(), db.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


@pytest.fixture
async def altered(
    worker_number: int, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Quart, list[Browser]]]:
    """Return an application on a PostgreSQL database of its own, and browsers of people in it."""
    url = await create_database(f"test_altered_{worker_number}")
    monkeypatch.setenv("TEST_DATABASE_URL", url)
    monkeypatch.setenv("PAGE_LIMIT", "100000/minute")
    monkeypatch.setenv("API_LIMIT", "100000/minute")
    await migrations.upgrade(load_settings("testing"))
    app = create_app("testing")
    app.add_url_rule("/moods", view_func=moods)
    await app.startup()
    async with app.app_context():
        await insert_roles()
        browsers = []
        for _ in range(4):
            browsers.append(app.test_client())
            await log_in(browsers[-1], await make_person())
    yield app, browsers  # outside the context: each request has one of its own
    await app.shutdown()


@pytest.mark.faults
@pytest.mark.waits
async def test_a_changed_type_fails_no_reading_request(
    altered: tuple[Quart, list[Browser]],
) -> None:
    """Every page is answered as before; only what writes may be told to try again."""
    app, browsers = altered
    read: Counter[int] = Counter()
    written: Counter[int] = Counter()
    finished = asyncio.Event()

    async def visit(browser: Browser) -> None:
        while not finished.is_set():
            for path in ("/account/manage", "/account/sessions", "/readyz", "/nowhere"):
                read[(await browser.get(path)).status_code] += 1

    async def change(browser: Browser) -> None:
        while not finished.is_set():
            response = await browser.patch(
                "/api/v1/account", json={"first_name": "Kim", "last_name": "Ng"}
            )
            written[response.status_code] += 1
            assert response.status_code != 503 or response.headers["Retry-After"]

    visitors = [asyncio.create_task(visit(browser)) for browser in browsers[:3]]
    visitors.append(asyncio.create_task(change(browsers[3])))
    await asyncio.sleep(0.3)
    for statement in CHANGES:
        await execute(app, statement)
        await asyncio.sleep(0.4)
    finished.set()
    await asyncio.gather(*visitors)
    assert set(read) == {200, 404}, read
    assert set(written) <= {200, 503}, written
    assert written[503] < written[200] / 3, written


async def test_an_enum_that_was_replaced_is_read_again(
    altered: tuple[Quart, list[Browser]],
) -> None:
    """The kind of column that the driver looks up by number, which a new type does not keep."""
    app, (browser, *_) = altered
    await execute(
        app,
        "CREATE TYPE mood AS ENUM ('good')",
        "CREATE TABLE moods (mood mood)",
        "INSERT INTO moods VALUES ('good')",
    )
    assert await (await browser.get("/moods")).get_data(as_text=True) == "good"
    await execute(
        app,
        "ALTER TYPE mood RENAME TO old",
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "ALTER TABLE moods ALTER mood TYPE mood USING mood::text::mood",
        "DROP TYPE old",
    )
    response = await browser.get("/moods")
    assert (response.status_code, await response.get_data(as_text=True)) == (200, "good")
