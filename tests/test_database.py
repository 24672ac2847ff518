"""Sessions and transactions, and the settings that make them reliable on SQLite."""

import asyncio
import gc
import itertools
import random
from datetime import datetime

import pytest
from quart import Quart
from sqlalchemy import insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from app.auth.models import Credential, Purpose, Role, User
from app.config import Config
from app.database import Base, Database, db, utcnow
from tests.factories.people import make_person


async def count(model: type[Base]) -> int:
    async with db.session() as session:
        return len((await session.execute(select(model))).all())


async def test_returning_commits(app: Quart) -> None:
    before = await count(Role)
    async with db.transaction() as session:
        session.add(Role(name="Editor", index="main", permissions=3))
    assert await count(Role) == before + 1


async def test_raising_rolls_back(app: Quart) -> None:
    before = await count(Role)
    with pytest.raises(RuntimeError, match="as planned"):
        async with db.transaction() as session:
            session.add(Role(name="Editor", index="main", permissions=3))
            await session.flush()
            raise RuntimeError("as planned")
    assert await count(Role) == before


async def test_twelve_writers_at_once_lose_no_update(app: Quart, settings: Config) -> None:
    """Read a number and write it back incremented; without a lock, some would write the same."""
    person = await make_person(first_name="0")
    processes = [
        Database(settings) for _ in range(4)
    ]  # as good as: those of one wait for each other before the lock

    async def increment(database: Database) -> None:
        for _ in range(5):
            async with database.transaction() as session:
                query = select(User).where(User.id == person.id).with_for_update()
                user = (await session.execute(query)).scalar_one()
                number = int(user.first_name)
                await asyncio.sleep(0.001)
                user.first_name = str(number + 1)

    await asyncio.gather(*(increment(processes[number % 4]) for number in range(12)))
    for database in processes:
        await database.dispose()
    async with db.session() as session:
        assert await session.scalar(select(User.first_name)) == "60"


async def test_the_writers_of_a_process_write_in_the_order_in_which_they_came(
    app: Quart, backend: str
) -> None:
    if backend != "sqlite":
        pytest.skip("PostgreSQL has many writers at once")
    order = []

    async def write(number: int) -> None:
        async with db.transaction() as session:
            await session.execute(select(Role.id))
            order.append(number)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(write(number) for number in range(10)))
    assert order == list(range(10))


async def test_a_writer_inside_a_writer_is_an_error_and_no_standstill(
    app: Quart, backend: str, settings: Config
) -> None:
    if backend != "sqlite":
        pytest.skip("PostgreSQL has many writers at once")
    database = Database(settings.model_copy(update={"SQLITE_BUSY_TIMEOUT": 0.2}))
    with pytest.raises(DBAPIError, match="locked"):
        async with asyncio.timeout(5), database.transaction() as outer:
            await outer.execute(select(Role.id))
            async with database.transaction() as inner:
                await inner.execute(select(Role.id))
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await database.dispose()


async def test_readers_do_not_wait_for_a_writer(app: Quart) -> None:
    person = await make_person(first_name="Before")
    async with db.transaction() as session:
        await session.execute(update(User).values(first_name="After"))
        async with asyncio.timeout(2), db.session() as reader:
            assert (
                await reader.scalar(select(User.first_name).where(User.id == person.id)) == "Before"
            )


async def test_foreign_keys_hold(app: Quart) -> None:
    with pytest.raises(IntegrityError):
        async with db.transaction() as session:
            now = utcnow()
            session.add(
                Credential(
                    purpose=Purpose.SESSION, digest=b"x" * 32, user_id=999_999, expires_at=now
                )
            )


async def test_what_belongs_to_a_deleted_user_goes_with_it(app: Quart) -> None:
    person = await make_person()
    async with db.transaction() as session:
        session.add(
            Credential(
                purpose=Purpose.SESSION, digest=b"x" * 32, user_id=person.id, expires_at=utcnow()
            )
        )
    async with db.transaction() as session:
        await session.delete(await session.get_one(User, person.id))
    assert await count(Credential) == 0


async def test_a_change_of_the_schema_rolls_back_with_the_rest(app: Quart) -> None:
    with pytest.raises(RuntimeError, match="as planned"):
        async with db.transaction() as session:
            await session.execute(text("CREATE TABLE half_done (id INTEGER)"))
            raise RuntimeError("as planned")
    async with db.connect() as connection:
        assert "half_done" not in await connection.run_sync(
            lambda sync: inspect(sync).get_table_names()
        )


async def test_an_address_is_unique_whatever_its_case_even_past_the_model(app: Quart) -> None:
    person = await make_person(email="one@example.com")
    for sql in (
        "UPDATE users SET email = 'ONE@example.com'",
        "INSERT INTO users (email, first_name, last_name, confirmed, created_at, role_id) "
        f"SELECT email, 'a', 'b', confirmed, created_at, role_id FROM users WHERE id = {person.id}",
    ):
        with pytest.raises(IntegrityError):
            async with db.transaction() as session:
                await session.execute(text(sql))


async def test_the_id_of_a_deleted_user_is_never_given_again(app: Quart) -> None:
    person = await make_person()
    async with db.transaction() as session:
        await session.delete(await session.get_one(User, person.id))
    assert (await make_person()).id > person.id


async def test_moments_keep_their_time_zone(app: Quart) -> None:
    before = utcnow()
    await make_person()
    async with db.session() as session:
        created = await session.scalar(select(User.created_at))
    assert created is not None
    assert created.utcoffset() is not None
    assert before <= created <= utcnow()


async def test_a_moment_without_a_time_zone_is_a_mistake(app: Quart) -> None:
    with pytest.raises(StatementError, match="time zone"):
        async with db.transaction() as session:
            await session.execute(update(User).values(created_at=datetime(2026, 1, 1)))


async def test_no_template_can_load_a_relationship_behind_ones_back(app: Quart) -> None:
    await make_person()
    async with db.session() as session:
        user = (await session.execute(select(User))).scalar_one()
        with pytest.raises(Exception, match="lazy='raise'"):
            _ = user.role


async def test_the_pool_opens_no_more_connections_than_it_says(
    app: Quart, settings: Config
) -> None:
    settings.DATABASE_POOL_SIZE, settings.DATABASE_POOL_TIMEOUT = 2, 0.2
    small = Database(settings)
    try:
        async with small.connect() as one, small.connect() as two:
            await one.execute(text("SELECT 1"))
            await two.execute(text("SELECT 1"))
            with pytest.raises(Exception, match="QueuePool limit of size 2 overflow 0"):
                async with small.connect():
                    pass
    finally:
        await small.dispose()


# Python 3.13 tells that the driver leaves the closing of a connection it was cut off from to the
# last reference to it.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <sqlite3.Connection:pytest.PytestUnraisableExceptionWarning"
)
async def test_a_cancelled_transaction_is_undone_and_gives_its_connection_back(
    app: Quart, settings: Config
) -> None:
    """Cancel it while it connects, writes or commits."""
    person = await make_person(first_name="0")
    settings.DATABASE_POOL_SIZE, settings.DATABASE_POOL_TIMEOUT = 2, 2
    small = Database(settings)

    async def write() -> None:
        async with small.transaction() as session:
            await session.execute(update(User).where(User.id == person.id).values(first_name="cut"))
            await session.execute(update(User).where(User.id == person.id).values(last_name="cut"))

    cut = 0
    try:
        for step in range(60):
            task = asyncio.create_task(write())
            await asyncio.sleep(step * 0.0002)
            task.cancel()
            [outcome] = await asyncio.gather(task, return_exceptions=True)
            cut += isinstance(outcome, asyncio.CancelledError)
            async with asyncio.timeout(5), small.transaction() as session:
                row = (await session.execute(select(User.first_name, User.last_name))).one()
                assert tuple(row) in {("0", "Example"), ("cut", "cut")}, "half done"
                await session.execute(update(User).values(first_name="0", last_name="Example"))
        assert cut > 5
        assert small.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    finally:
        await small.dispose()


async def test_what_is_cancelled_amid_a_statement_leaves_no_lock(
    app: Quart, backend: str, settings: Config
) -> None:
    """SQLite closes a connection, and drops its lock, when the last of its statements has ended."""
    if backend != "sqlite":
        pytest.skip("the server of PostgreSQL ends what a closed connection held")
    database = Database(settings.model_copy(update={"SQLITE_BUSY_TIMEOUT": 0.5}))

    async def write() -> None:
        async with database.begin() as connection:
            for number in itertools.count():
                row = insert(Role).values(name=f"Role {number}", index="main", permissions=3)
                await connection.execute(row.returning(Role.id))

    gc.disable()  # which would end the statements at some time
    try:
        for _ in range(60):
            writing = asyncio.create_task(write())
            await asyncio.sleep(random.uniform(0.002, 0.012))
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            async with database.transaction() as session:
                await session.execute(select(Role.id))
    finally:
        gc.enable()
        await database.dispose()
    assert await count(Role) == 2


async def test_postgresql_cuts_off_what_takes_too_long(
    app: Quart, backend: str, settings: Config
) -> None:
    if backend != "postgresql":
        pytest.skip("SQLite has no time-out for statements")
    settings.DATABASE_STATEMENT_TIMEOUT = 0.2
    hasty = Database(settings)
    try:
        async with hasty.connect() as connection:
            with pytest.raises(DBAPIError, match="statement timeout"):
                await connection.execute(text("SELECT pg_sleep(5)"))
            for name, value in (
                ("lock_timeout", "3s"),
                ("idle_in_transaction_session_timeout", "15s"),
            ):
                await connection.rollback()
                assert (await connection.execute(text(f"SHOW {name}"))).scalar() == value
    finally:
        await hasty.dispose()


async def test_sqlite_runs_as_the_design_says(app: Quart, backend: str) -> None:
    if backend != "sqlite":
        pytest.skip("about SQLite")
    async with db.connect() as connection:
        pragmas = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    assert pragmas == ["wal", 1, 5000]
