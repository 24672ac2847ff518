"""The migration that put `leased_until` beside `due_at`, with rows in the table and under load."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Row, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app import migrations
from app.config import Config
from app.database import create_engine, db, utcnow
from app.jobs.engine import leases
from app.jobs.queue import enqueue
from tests.conftest import MakeApp, settings_of_an_empty_database

BEFORE, AFTER = "5c1e7b0a94d2", "8f0d3b62c7e5"

# What the release before wrote, and how long until each is due by its meaning.
ROWS = {
    "running": {"state": "running", "worker": "w", "attempt": 1, "due": 20},
    "leased": {"state": "waiting", "worker": "w", "due": 20},
    "released": {"state": "waiting", "worker": "w", "due": -20},
    "backing off": {"state": "waiting", "worker": "w", "attempt": 1, "error": "e", "due": 20},
    "delayed": {"state": "waiting", "due": 20},
    "due": {"state": "waiting", "due": -20, "unique_key": "key"},
    "done": {"state": "done", "worker": "w", "attempt": 1, "due": -20},
}


@pytest.fixture(params=["sqlite", "postgresql"])
async def settings(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    worker_number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Config:
    """Settings for a database as the release before had it."""
    name = f"test_jobs_migration_{worker_number}"
    settings = await settings_of_an_empty_database(request.param, name, tmp_path, monkeypatch)
    await migrations.run(settings, command.upgrade, BEFORE)
    return settings


@pytest.fixture
async def engine(settings: Config) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(settings, for_requests=False).execution_options(sqlite_writes=True)
    yield engine
    await engine.dispose()


async def rows(engine: AsyncEngine, columns: str) -> dict[str, Row[tuple[object, ...]]]:
    async with engine.connect() as connection:
        found = await connection.execute(text(f"SELECT name, {columns} FROM jobs"))
        return {row.name: row for row in found}


def seconds_until(moment: object) -> float | None:
    """Seconds from now, of what either database returns for a time; None for none."""
    if moment is None:
        return None
    found = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    return (found.replace(tzinfo=utcnow().tzinfo) - utcnow()).total_seconds()


async def test_leases_move_up_and_down_with_their_rows(
    settings: Config, engine: AsyncEngine
) -> None:
    async with engine.begin() as connection:
        now = utcnow() if not settings.sqlite else utcnow().replace(tzinfo=None)
        for name, row in ROWS.items():
            values = {"worker": None, "attempt": 0, "error": None, "unique_key": None} | row
            values |= {"id": uuid.uuid4().hex, "name": name, "created": at(settings, now)}
            values["due"] = at(settings, now + timedelta(seconds=float(str(row["due"]))))
            await connection.execute(
                text(
                    "INSERT INTO jobs (id, name, args, state, due_at, lease, worker, attempt, "
                    "error, unique_key, created_at) VALUES (:id, :name, '{}', :state, :due, 1, "
                    ":worker, :attempt, :error, :unique_key, :created)"
                ),
                values,
            )
    await migrations.run(settings, command.upgrade, AFTER)
    found = await rows(engine, "due_at, leased_until, priority")
    assert {row.priority for row in found.values()} == {0}
    due = {name: seconds_until(row.due_at) for name, row in found.items()}
    leased = {name: seconds_until(row.leased_until) for name, row in found.items()}
    assert due["running"] is None
    assert {name for name, seconds in leased.items() if seconds is not None} == {
        "running",
        "leased",
    }
    assert all(0 < (leased[name] or 0) <= 20 for name in ("running", "leased"))
    assert all((due[name] or 1) < 0 for name in ("leased", "released", "due", "done"))
    assert all(0 < (due[name] or 0) <= 20 for name in ("backing off", "delayed"))

    await migrations.run(settings, command.downgrade, BEFORE)
    restored = await rows(engine, "due_at, unique_key")
    for name, row in ROWS.items():
        seconds = seconds_until(restored[name].due_at)
        assert seconds is not None
        assert (seconds > 0) == (float(str(row["due"])) > 0), name
    assert [row.unique_key for row in restored.values()].count("key") == 1


def at(settings: Config, moment: datetime) -> object:
    return moment.isoformat(" ", "microseconds") if settings.sqlite else moment


# The statements of the release before, on PostgreSQL.
ENQUEUE = """
    INSERT INTO jobs (id, name, args, state, due_at, lease, attempt, unique_key, created_at)
    VALUES ($1, 'tests.note', $2, 'waiting', statement_timestamp(), 0, 0, NULL,
            statement_timestamp())
    ON CONFLICT (unique_key) DO UPDATE SET unique_key = NULL"""
TAKE = """
    WITH due AS (
        SELECT id FROM jobs WHERE state = 'waiting' AND due_at <= statement_timestamp()
        ORDER BY due_at LIMIT 5 FOR UPDATE SKIP LOCKED)
    UPDATE jobs SET lease = lease + 1, worker = 'old',
        due_at = statement_timestamp() + interval '3 s'
    WHERE id IN (SELECT id FROM due) RETURNING id, lease"""
CLAIM = """
    UPDATE jobs SET state = 'running', attempt = attempt + 1, unique_key = NULL,
        started_at = statement_timestamp(), due_at = statement_timestamp() + interval '3 s'
    WHERE id = $1 AND lease = $2 AND state = 'waiting' RETURNING id"""
FINISH = """
    UPDATE jobs SET state = 'done', finished_at = statement_timestamp()
    WHERE id = $1 AND lease = $2 AND state = 'running' RETURNING id"""
RECOVER = """
    UPDATE jobs SET state = 'waiting', lease = lease + 1, due_at = statement_timestamp()
    WHERE state = 'running' AND due_at <= statement_timestamp() RETURNING id"""


class Deployment:
    """Web servers and workers of both releases, on one PostgreSQL database."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self.address = {
            "host": str(parsed.query["host"]),
            "user": parsed.username,
            "database": parsed.database,
            "server_settings": {"lock_timeout": "3000"},  # DATABASE_LOCK_TIMEOUT
        }
        self.committed: set[uuid.UUID] = set()
        self.ran: list[uuid.UUID] = []
        self.recovered = 0  # by the old worker
        self.migrated = asyncio.Event()
        self.ended = asyncio.Event()

    async def web(self) -> None:
        """Enqueue jobs as the old release does, during the migration and after it, then as this."""
        old = await asyncpg.connect(**self.address)
        after = 0
        while after < 50:
            identifier = uuid.uuid4()
            await old.execute(ENQUEUE, identifier, "{}")
            self.committed.add(identifier)
            after += self.migrated.is_set()
            await asyncio.sleep(0.01)
        await old.close()
        for _ in range(50):
            async with db.transaction() as session:
                added = await enqueue(session, "tests.note")
            assert added
            self.committed.add(added)
            await asyncio.sleep(0.01)

    async def old_worker(self) -> None:
        """Work as the old release does, until the end."""
        connection = await asyncpg.connect(**self.address)
        while not self.ended.is_set():
            self.recovered += len(await connection.fetch(RECOVER))
            for row in await connection.fetch(TAKE):
                if await connection.fetch(CLAIM, *row):
                    self.ran.append(row["id"])
                    await connection.fetch(FINISH, *row)
            await asyncio.sleep(0.05)
        await connection.close()

    async def new_worker(self) -> None:
        """Work as this release does, from the migration on."""
        await self.migrated.wait()
        while not self.ended.is_set():
            async with db.begin() as connection:
                await leases.recover(connection)
                taken = await leases.take(connection, "new", 5)
            async with db.begin() as connection:
                claimed, _ = await leases.claim(connection, [job.key for job in taken])
            self.ran += [identifier for identifier, _ in claimed]
            await asyncio.sleep(0.2)  # as if they ran: the old worker must leave them alone
            async with db.begin() as connection:
                await leases.finish(connection, claimed)

    async def long_transaction(self) -> None:
        """Complete a job in a transaction that takes longer than others wait for a lock."""
        connection = await asyncpg.connect(**self.address)
        async with connection.transaction():
            await connection.execute("UPDATE jobs SET progress = NULL WHERE name = 'long'")
            await asyncio.sleep(4)
        await connection.close()

    async def all_done(self) -> None:
        async with asyncio.timeout(30):
            while True:
                await asyncio.sleep(0.1)
                async with db.connect() as connection:
                    query = text("SELECT count(*) FROM jobs WHERE state <> 'done'")
                    if not (await connection.execute(query)).scalar():
                        return


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
async def test_a_deploy_under_load_loses_nothing(settings: Config, make_app: MakeApp) -> None:
    deployment = Deployment(settings.DATABASE_URL)
    async with make_app().app_context(), asyncio.TaskGroup() as group:
        webs = [group.create_task(deployment.web()) for _ in range(3)]
        group.create_task(deployment.old_worker())
        group.create_task(deployment.new_worker())
        group.create_task(deployment.long_transaction())
        await asyncio.sleep(0.5)
        started = time.monotonic()
        await migrations.run(settings, command.upgrade, AFTER)
        assert time.monotonic() - started > 2, "the long transaction was in its way"
        deployment.migrated.set()
        await asyncio.wait(webs)
        await deployment.all_done()
        deployment.ended.set()
    assert len(deployment.committed) > 150
    assert set(deployment.ran) == deployment.committed
    assert len(deployment.ran) == len(deployment.committed), "none ran twice"
    assert deployment.recovered == 0, "the old worker left alone what the new one ran"
