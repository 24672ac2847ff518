"""Leasing jobs whose rows are hardly ever free."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from app.database import db, utcnow
from app.jobs.engine import contended
from app.jobs.engine.contended import take_late
from app.jobs.models import Job
from tests.jobs.conftest import jobs, put

pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture(autouse=True)
def on_postgresql(backend: str) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite locks no rows")


async def overdue(seconds: float, unique: str | None = None) -> UUID:
    identifier: UUID = await put("tests.note", unique=unique)
    async with db.transaction() as session:
        due = utcnow() - timedelta(seconds=seconds)
        await session.execute(update(Job).where(Job.id == identifier).values(due_at=due))
    return identifier


async def late(room: int = 1) -> UUID | None:
    job = await take_late(db, "worker", room, Counter())
    return job.id if job else None


async def late_while_locked(identifier: UUID, *, room: int = 1) -> UUID | None:
    """Ask for a late job, while a transaction locks this one until somebody waits for it."""
    async with db.transaction() as session:
        await session.execute(select(Job).where(Job.id == identifier).with_for_update())
        with pytest.MonkeyPatch.context() as patched:  # a busy machine takes longer than a moment
            patched.setattr(contended, "BRIEFLY", text("SET LOCAL lock_timeout = '20s'"))
            asked = asyncio.create_task(late(room))
            async with asyncio.timeout(20):
                while not asked.done() and not await somebody_waits():
                    await asyncio.sleep(0.01)
    return await asked


async def somebody_waits() -> bool:
    """Tell whether some statement on this database waits for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with db.connect() as connection:
        return bool((await connection.execute(text(waiting))).scalar())


async def test_one_that_is_locked_for_a_moment_is_leased() -> None:
    identifier = await overdue(10, unique="key")
    assert await late_while_locked(identifier) == identifier
    [row] = await jobs()
    assert (row.worker, row.unique_key) == ("worker", None)


async def test_one_that_stays_locked_is_left_after_a_moment() -> None:
    identifier = await overdue(10, unique="key")
    async with db.transaction() as session:
        await session.execute(select(Job).where(Job.id == identifier).with_for_update())
        async with asyncio.timeout(2):
            assert await late() is None
    [row] = await jobs()
    assert (row.worker, row.unique_key) == (None, "tests.note:key")


async def test_one_that_is_free_is_left_to_those_that_take_it_in_order() -> None:
    await overdue(10, unique="key")
    assert await late() is None


async def test_a_worker_without_room_takes_none() -> None:
    identifier = await overdue(10, unique="key")
    for room in (0, -1):
        assert await late_while_locked(identifier, room=room) is None


async def test_one_that_is_not_among_the_next_jobs_waits_for_them() -> None:
    for _ in range(3):
        await overdue(20)
    identifier = await overdue(10, unique="key")
    assert await late_while_locked(identifier, room=3) is None
    assert await late_while_locked(identifier, room=4) == identifier
