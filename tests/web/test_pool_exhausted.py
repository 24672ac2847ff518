"""When all connections to the database are in use: 503 with Retry-After, and then it goes on."""

import asyncio

import pytest
from sqlalchemy import text

from app.web.openapi.operations import operations
from tests.conftest import MakeApp
from tests.factories.people import log_in, make_person
from tests.web.test_api_conventions import url


async def test_slow_queries_of_others_are_answered_with_503_and_when_to_try_again(
    app: object, backend: str, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite reads without a query that waits")
    monkeypatch.setenv("DATABASE_POOL_SIZE", "2")
    monkeypatch.setenv("DATABASE_POOL_TIMEOUT", "0.2")
    small = make_app()
    browser, person = small.test_client(), await make_person()
    async with small.app_context():
        await log_in(browser, person)
        database = small.extensions["database"]

        async def ask_slowly() -> None:
            async with database.session() as session:
                await session.execute(text("SELECT pg_sleep(60)"))

        slow = [asyncio.create_task(ask_slowly()) for _ in range(2)]
        try:
            while database.engine.pool.checkedout() < 2:
                await asyncio.sleep(0.01)
            asked = 0
            for each in operations(small):
                if each.is_safe:
                    answer = await browser.get(url(each))
                    assert answer.status_code == 503, each.path
                    assert int(answer.headers["Retry-After"]) > 0, each.path
                    assert (await answer.get_json())["code"] == "service-unavailable", each.path
                    asked += 1
            assert asked > 10
        finally:
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
        assert (await browser.get("/api/v1/account")).status_code == 200
