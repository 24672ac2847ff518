"""Numbers of rows for people to read."""

import pytest
from quart import Quart
from sqlalchemy import literal, select, text

from app import counting
from app.auth.models import User
from app.counting import Count, count
from app.database import db
from tests.factories.people import make_person


def test_a_count_reads_as_one_says_it() -> None:
    assert str(Count(7)) == "7"
    assert str(Count(1_200_000, "about")) == "about 1,200,000"
    assert str(Count(10_000, "more than")) == "more than 10,000"


async def test_few_rows_are_counted(app: Quart) -> None:
    async with db.session() as session:
        assert await count(session, select(literal(1)).select_from(User)) == Count(0)
    for first_name in ("Robin", "Robin", "Kim"):
        await make_person(first_name=first_name)
    async with db.session() as session:
        query = select(literal(1)).where(User.first_name == "Robin")
        assert await count(session, query) == Count(2)


async def test_many_rows_are_not(app: Quart, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 2)
    for _ in range(30):
        await make_person()
    async with db.transaction() as session:
        if backend == "postgresql":
            await session.execute(text("ANALYZE users"))
        found = await count(session, select(literal(1)).where(User.id > 0))
    assert found == (Count(30, "about") if backend == "postgresql" else Count(2, "more than"))


async def test_what_was_deleted_is_not_estimated(app: Quart, backend: str) -> None:
    """PostgreSQL's statistics are of before, until it has vacuumed."""
    if backend != "postgresql":
        pytest.skip("SQLite estimates nothing")
    async with db.transaction() as session:
        await session.execute(text("CREATE TABLE many AS SELECT generate_series(1, 20000) AS id"))
        await session.execute(text("ANALYZE many"))
        query = select(literal(1)).select_from(text("many"))
        assert (await count(session, query)).precision == "about"
        await session.execute(text("DELETE FROM many WHERE id > 7"))
        assert await count(session, query) == Count(7)
        await session.execute(text("DROP TABLE many"))
