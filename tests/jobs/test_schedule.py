"""When recurring jobs are due."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSimError
from quart import Quart
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Base, db, utcnow
from app.jobs import queue
from app.jobs.engine.ticks import enqueue_due
from app.jobs.models import Job, Schedule
from app.jobs.schedule import Recurring, every, latest
from tests.jobs.conftest import jobs

HOURLY = {"tests.note": Recurring("0 * * * *", overlapping=False)}


async def tick() -> datetime:
    async with db.session() as session:
        return (await session.execute(select(Schedule.tick))).scalar_one()


async def tick_of(name: str) -> datetime:
    async with db.session() as session:
        query = select(Schedule.tick).where(Schedule.name == name)
        return (await session.execute(query)).scalar_one()


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
    assert (job.name, job.unique_key) == ("tests.note", "tests.note:tick")


async def test_workers_that_see_a_tick_at_once_make_one_job_of_it(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enqueue_due(db, HOURLY)
    await set_tick(await tick() - timedelta(hours=1))

    async def without_a_key(session: AsyncSession, name: str, unique: str) -> None:
        await queue.enqueue(session, name)  # the key is gone as well, once the first has started

    monkeypatch.setattr("app.jobs.engine.ticks.enqueue", without_a_key)
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
    await enqueue_due(db, {"tests.note": Recurring("0 0 1 1 *", overlapping=False)})
    assert (await tick(), await jobs()) == (last, [])


async def come_due() -> None:
    """Let an hour pass, and enqueue what is due then."""
    await set_tick(await tick() - timedelta(hours=1))
    await enqueue_due(db, HOURLY)


async def set_state(state: str, attempt: int) -> None:
    async with db.transaction() as session:
        await session.execute(update(Job).values(state=state, attempt=attempt, unique_key=None))


# The last one: a worker that stopped has released it, or somebody retries it by hand.
@pytest.mark.parametrize(("state", "attempt"), [("running", 1), ("waiting", 1), ("waiting", 0)])
async def test_a_tick_waits_for_the_end_of_the_job_of_the_last_one(
    app: Quart, state: str, attempt: int
) -> None:
    await enqueue_due(db, HOURLY)
    now = await tick()
    await come_due()
    await set_state(state, attempt)
    for _ in range(2):
        await come_due()
        assert len(await jobs()) == 1
        assert await tick() < now, "the tick has not come yet"
    await set_state("done", 1)
    await enqueue_due(db, HOURLY)
    assert [job.state for job in await jobs()] == ["done", "waiting"]
    assert await tick() == now, "those that waited are one job"


async def test_a_job_that_has_not_begun_is_the_job_of_the_next_tick_too(app: Quart) -> None:
    await enqueue_due(db, HOURLY)
    now = await tick()
    for _ in range(2):
        await come_due()
        assert len(await jobs()) == 1
        assert await tick() == now


@pytest.mark.parametrize("model", [Schedule, Job])
async def test_what_somebody_has_locked_holds_up_no_other_tick(
    app: Quart, backend: str, model: type[Base]
) -> None:
    """A row of `schedules`, and the job of the last tick that waits."""
    if backend == "sqlite":
        pytest.skip("SQLite locks no rows")
    both = HOURLY | {"tests.fail": Recurring("0 * * * *", overlapping=False)}
    await enqueue_due(db, both)
    now = await tick_of("tests.fail")
    await set_tick(now - timedelta(hours=1))
    await enqueue_due(db, HOURLY)
    await set_tick(now - timedelta(hours=1))
    async with db.session() as session:
        await session.execute(
            select(model).where(model.name == "tests.note").with_for_update()  # type: ignore[attr-defined]
        )
        async with asyncio.timeout(2):
            await enqueue_due(db, both)
    assert sorted(job.name for job in await jobs()) == ["tests.fail", "tests.note"]
    await enqueue_due(db, both)
    assert await tick_of("tests.note") == await tick_of("tests.fail") == now
    assert len(await jobs()) == 2


async def test_a_job_may_be_declared_to_overlap_itself(app: Quart) -> None:
    overlapping = {"tests.note": Recurring("0 * * * *", overlapping=True)}
    await enqueue_due(db, overlapping)
    await come_due()
    await set_state("running", 1)
    await set_tick(await tick() - timedelta(hours=1))
    await enqueue_due(db, overlapping)
    assert sorted(job.state for job in await jobs()) == ["running", "waiting"]


def test_a_schedule_that_could_run_nothing_is_a_mistake_at_once(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, "schedule", {})
    for name, words in (
        ("tests.nobody", "no job of that name is declared"),
        ("tests.needs_arguments", "takes arguments"),
    ):
        with pytest.raises(ValueError, match=f"{name} is on the schedule, but {words}"):
            every(app, "* * * * *", name)
    with pytest.raises(ValueError, match=r"tests\.note is on the schedule at '61 .*': Bad"):
        every(app, "61 * * * *", "tests.note")
    every(app, "* * * * *", "tests.note")
    with pytest.raises(ValueError, match="twice"):
        every(app, "0 0 * * *", "tests.note")
    assert list(app.extensions["schedule"]) == ["tests.note"]
