"""Entries for tests of how the trail is shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import delete, insert

from app.accounts import roles
from app.database import db
from app.trail import Entry
from tests.factories.people import Person, log_in, make_person

NOON = datetime(2030, 1, 15, 12, tzinfo=UTC)


async def administrator(app: Quart) -> tuple[Browser, Person]:
    """Return an administrator's browser, with nothing in the trail."""
    person = await make_person(role=roles.ADMINISTRATOR, first_name="Ada")
    browser = app.test_client()
    await log_in(browser, person)
    async with db.transaction() as session:
        await session.execute(delete(Entry))
    return browser, person


async def add(number: int = 1, **values: Any) -> None:
    """Add entries as they stand in the table, a minute apart; the last is the newest."""
    fixed = {"act": "user.renamed", "actor_kind": "user", "changes": {}} | values
    at = fixed.pop("at", NOON)
    rows = [fixed | {"at": at + timedelta(minutes=each)} for each in range(number)]
    async with db.transaction() as session:
        await session.execute(insert(Entry), rows)


async def found(browser: Browser, **query: Any) -> list[dict[str, Any]]:
    """Return what a search of the API finds."""
    answer = await browser.get("/api/v1/trail", query_string=query)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    items: list[dict[str, Any]] = (await answer.get_json())["items"]
    return items
