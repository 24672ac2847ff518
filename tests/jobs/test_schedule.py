"""When recurring jobs are due."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSimError
from quart import Quart
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import db, utcnow
from app.jobs import queue
from app.jobs.models import Schedule
from app.jobs.schedule import enqueue_due, latest
from tests.jobs.conftest import jobs

HOURLY = {"tests.hourly": "0 * * * *"}


async def tick() -> datetime:
    async with db.session() as session:
        return (await session.execute(select(Schedule.tick))).scalar_one()


async def set_tick(moment: datetime) -> None:
    async with db.transaction() as session:
        await session.execute(update(Schedule).values(tick=moment))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 11, 21, 23, 59, 59, 900_000, UTC), datetime(2026, 11, 21, tzinfo=UTC)),
        (datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)),
        (datetime(2026, 11, 22, 0, 0, 0, 1, UTC), datetime(2026, 11, 22, tzinfo=UTC)),
    ],
)
def test_a_tick_is_never_early_and_never_late(now: datetime, expected: datetime) -> None:
    assert latest("0 0 * * *", now) == expected


def test_a_line_that_means_nothing_is_a_mistake_at_once() -> None:
    with pytest.raises(CronSimError):
        latest("99 * * * *", utcnow())


async def test_a_new_schedule_begins_with_its_next_tick(app: Quart) -> None:
    await enqueue_due(db, HOURLY)
    await enqueue_due(db, HOURLY)
    assert await jobs() == []
    assert timedelta() <= utcnow() - await tick() < timedelta(hours=1, seconds=5)


async def test_missed_ticks_are_caught_up_once(app: Quart) -> None:
    await enqueue_due(db, HOURLY)
    last = await tick()
    await set_tick(last - timedelta(days=3))
    for _ in range(3):
        await enqueue_due(db, HOURLY)
    [job] = await jobs()
    assert (job.name, job.unique_key) == ("tests.hourly", f"tests.hourly:{last.isoformat()}")


async def test_workers_that_see_a_tick_at_once_make_one_job_of_it(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enqueue_due(db, HOURLY)
    await set_tick(await tick() - timedelta(hours=1))

    async def without_a_key(session: AsyncSession, name: str, unique: str) -> None:
        await queue.enqueue(session, name)  # the key is gone as well, once the first has started

    monkeypatch.setattr("app.jobs.schedule.enqueue", without_a_key)
    await asyncio.gather(*(enqueue_due(db, HOURLY) for _ in range(8)))
    assert len(await jobs()) == 1


async def test_a_tick_that_is_yet_to_come_stops_nothing_for_good(app: Quart) -> None:
    """The database's clock was wrong for a while."""
    await enqueue_due(db, HOURLY)
    last = await tick()
    await set_tick(last + timedelta(days=365))
    await enqueue_due(db, HOURLY)
    assert (await tick(), await jobs()) == (last, [])


async def test_a_line_that_was_changed_to_rarer_ticks_is_waited_for(
    app: Quart,
) -> None:
    await enqueue_due(db, HOURLY)
    last = await tick()
    await enqueue_due(db, {"tests.hourly": "0 0 1 1 *"})
    assert (await tick(), await jobs()) == (last, [])
