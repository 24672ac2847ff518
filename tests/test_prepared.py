"""What every request asks the database, as directly as the driver allows."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from quart import Quart
from sqlalchemy import bindparam, literal_column, select, text
from sqlalchemy.exc import DBAPIError, StatementError

from app.auth.models import Permission, Role, User
from app.away import is_away
from app.config import Config
from app.database import Database, db
from app.prepared import PreparedSelect
from tests.factories.people import make_person

people, roles = User.__table__, Role.__table__
FIND = PreparedSelect(
    select(
        people.c.id,
        people.c.email.label("address"),
        people.c.created_at,
        people.c.disabled_at,
        roles.c.permissions,
    )
    .join(roles, people.c.role_id == roles.c.id)
    .where(people.c.email == bindparam("email"), people.c.created_at < bindparam("before"))
)
TOMORROW = datetime.now(UTC) + timedelta(days=1)


async def test_it_returns_what_sqlalchemy_would(app: Quart) -> None:
    person = await make_person()
    found = await FIND.first(db, email=person.email, before=TOMORROW)
    assert found is not None
    async with db.session() as session:
        user = await session.get_one(User, person.id)
    assert list(found) == ["id", "address", "created_at", "disabled_at", "permissions"]
    assert found["id"] == person.id
    assert found["address"] == person.email
    assert found["created_at"] == user.created_at
    assert found["created_at"].tzinfo is not None
    assert found["disabled_at"] is None
    assert found["permissions"] == Permission.GENERAL


async def test_it_returns_none_where_there_is_no_row(app: Quart) -> None:
    assert await FIND.first(db, email="nobody@example.com", before=TOMORROW) is None


async def test_it_takes_part_in_no_transaction_and_holds_no_connection(app: Quart) -> None:
    for _ in range(3 * app.extensions["settings"].DATABASE_POOL_SIZE):
        await FIND.first(db, email="nobody@example.com", before=TOMORROW)
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue has it


async def test_values_are_checked_and_converted(app: Quart) -> None:
    with pytest.raises((ValueError, StatementError)) as raised:
        await FIND.first(db, email="x", before=datetime(2026, 1, 1))
    assert "time zone" in str(raised.value)


async def postgres(backend: str, statement: str, **values: Any) -> Any:
    """Run a statement over another connection."""
    if backend != "postgresql":
        pytest.skip("SQLite has no server that could end a connection")
    async with db.transaction() as session:
        return (await session.execute(text(statement), values)).all()


END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND datname = current_database()
"""


@pytest.fixture
async def many(app: Quart, settings: Config) -> Any:
    """A pool of its own, all of whose connections are open."""
    database = Database(settings)
    held = [await database.engine.connect() for _ in range(settings.DATABASE_POOL_SIZE)]
    for connection in held:
        await connection.execute(text("SELECT 1"))
        await connection.close()
    yield database
    await database.dispose()


async def test_a_server_that_ended_all_connections_costs_no_request(
    app: Quart, backend: str, many: Database
) -> None:
    person = await make_person()
    await postgres(backend, END_OTHERS)
    found = await asyncio.gather(
        *(FIND.first(many, email=person.email, before=TOMORROW) for _ in range(20))
    )
    assert {row and row["id"] for row in found} == {person.id}
    await postgres(backend, END_OTHERS)
    await asyncio.sleep(0.1)  # they have heard of it
    async with many.transaction() as session:
        assert await session.scalar(select(User.id)) == person.id


async def test_a_connection_that_was_idle_for_long_is_tried_first(
    app: Quart, backend: str, many: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a firewall has forgotten it: nobody has told the driver."""
    await postgres(backend, "SELECT 1")
    pings = []

    def ping(connection: Any) -> None:
        pings.append(connection)
        raise ConnectionResetError

    pooled = await many.engine.raw_connection()
    adapted = type(pooled.dbapi_connection)
    pooled.close()
    monkeypatch.setattr(adapted, "ping", ping)
    async with many.transaction() as session:
        await session.execute(text("SELECT 1"))
    assert pings == [], "it has just been used"
    monkeypatch.setattr("app.database.TRUSTED_IDLE", 0.0)
    async with many.transaction() as session:
        assert await session.scalar(text("SELECT 1")) == 1, "by a new connection"
    assert len(pings) == 1


async def test_a_mistake_in_a_query_is_raised_as_by_sqlalchemy(app: Quart) -> None:
    wrong = PreparedSelect(select(literal_column("nonsense").label("it")).select_from(people))
    with pytest.raises(DBAPIError):
        await wrong.first(db)
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_it_stays_in_a_transaction_behind_pgbouncer(settings: Config) -> None:
    pooled = settings.model_copy(update={"DATABASE_PGBOUNCER": True})
    assert not Database(pooled).is_direct
    assert Database(settings).is_direct == (not settings.sqlite)


async def test_a_cancelled_request_leaves_a_working_pool(
    app: Quart, backend: str, many: Database
) -> None:
    await postgres(backend, "SELECT 1")
    slow = PreparedSelect(select(people.c.id).where(text("pg_sleep(5) IS NOT NULL")))
    await make_person()
    tasks = [asyncio.create_task(slow.first(many)) for _ in range(5)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    async with asyncio.timeout(3):
        for _ in range(20):
            await FIND.first(many, email="nobody@example.com", before=TOMORROW)


async def test_a_server_that_takes_no_more_connections_is_away(
    app: Quart, backend: str, settings: Config
) -> None:
    """asyncpg's errors of connecting arrive as SQLAlchemy's, which a request answers with 503."""
    await postgres(backend, "SELECT 1")
    async with db.transaction() as session:
        await session.execute(text("DROP ROLE IF EXISTS full_up"))
        await session.execute(text("CREATE ROLE full_up LOGIN CONNECTION LIMIT 0"))
    url = settings.DATABASE_URL.replace("postgres@", "full_up@")
    database = Database(settings.model_copy(update={"DATABASE_URL": url}))
    with pytest.raises(DBAPIError) as raised:
        await FIND.first(database, email="nobody@example.com", before=TOMORROW)
    assert is_away(raised.value)
    await database.dispose()


async def test_a_lock_is_waited_for_once_and_costs_no_connection(
    app: Quart, backend: str, settings: Config
) -> None:
    await postgres(backend, "SELECT 1")
    database = Database(settings.model_copy(update={"DATABASE_LOCK_TIMEOUT": 0.5}))
    async with database.session() as session:
        own = await session.scalar(text("SELECT pg_backend_pid()"))
    async with db.transaction() as session:
        await session.execute(text("LOCK TABLE roles"))
        began = asyncio.get_running_loop().time()
        with pytest.raises(DBAPIError) as raised:
            await FIND.first(database, email="nobody@example.com", before=TOMORROW)
        assert asyncio.get_running_loop().time() - began < 0.95
    assert is_away(raised.value)
    async with database.session() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) == own
    await database.dispose()
