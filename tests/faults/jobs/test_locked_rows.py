"""Somebody's open transaction that holds rows of `jobs`: a psql window, a script that waits."""

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select, text, update

from app.database import db, utcnow
from app.jobs.models import Job, Schedule, State
from app.jobs.queue import enqueue, enqueue_many
from tests.faults.jobs.conftest import LEASE, Stage, count, nothing_open, put, until

pytestmark = pytest.mark.faults

MANY = 25_000


@pytest.fixture(autouse=True)
def on_postgresql(backend: str) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite locks no rows")


async def done(number: int) -> bool:
    return await count(State.DONE) == number


async def test_of_the_jobs_of_a_worker_only_the_locked_one_suffers(stage: Stage) -> None:
    stage.start_worker(WORKER_JOB_TIMEOUT="60")
    for number in range(6):
        await put("faults.work", number=number, seconds=LEASE * 2.5)
    await until(lambda: len(stage.effects("begin")) == 6, stage)
    async with db.session() as session:
        await session.execute(text("SET idle_in_transaction_session_timeout = 0"))
        locked = select(Job).where(Job.args["number"].as_integer() == 3).with_for_update()
        await session.execute(locked)
        for number in range(6, 9):
            await put("faults.work", number=number, seconds=0.1)
        await until(lambda: len(stage.effects("end")) == 8, stage, LEASE * 2.5 + 10)
        await until(lambda: done(8), stage)  # while that row is locked
    await until(nothing_open, stage, LEASE * 2.5 + 20)
    begun = [effect.what for effect in stage.effects("begin")]
    assert sorted(begun) == ["0", "1", "2", "3", "3", "4", "5", "6", "7", "8"]
    assert sorted(effect.what for effect in stage.effects("end")) == sorted(set(begun))


async def test_an_outcome_whose_row_is_locked_for_a_moment_is_written(stage: Stage) -> None:
    stage.start_worker()
    await put("faults.work", number=1, seconds=1)
    await until(lambda: stage.effects("begin"), stage)
    async with db.session() as session:
        await session.execute(select(Job).with_for_update())
        await put("faults.work", number=2, seconds=0.1)
        await until(lambda: len(stage.effects("end")) == 2, stage)
        await until(lambda: done(1), stage)
        await asyncio.sleep(0.3)
        assert await done(1)
    await until(nothing_open, stage)
    assert sorted(effect.what for effect in stage.effects("begin")) == ["1", "2"]
    assert await count(State.DONE) == 2


async def test_a_schedule_that_somebody_has_locked_holds_up_no_job(stage: Stage) -> None:
    stage.start_worker()
    await put("faults.work", number=1)
    await until(lambda: stage.effects("end", "1"), stage)
    async with db.transaction() as session:
        await session.execute(update(Schedule).values(tick=utcnow() - timedelta(hours=1)))
        await session.execute(select(Schedule).with_for_update())
        for number in range(2, 6):
            await put("faults.work", number=number)
            await until(partial(stage.effects, "end", str(number)), stage, 3)
            await asyncio.sleep(1)
        assert stage.effects("begin", "tick") == []
    await until(lambda: stage.effects("begin", "tick"), stage)


async def test_a_job_that_is_enqueued_all_the_time_begins(stage: Stage) -> None:
    """Each transaction locks the row of the job that waits already, which workers pass over."""
    added = 0
    enough = asyncio.Event()

    async def go_on() -> None:
        nonlocal added
        while not enough.is_set():
            async with db.transaction() as session:
                new = await enqueue(session, "faults.work", unique="all", number=1)
                await asyncio.sleep(0.03)
            added += new is not None

    stage.start_worker()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(go_on())
        await until(lambda: len(stage.effects("end")) >= 2, stage, 45)
        enough.set()
    await until(nothing_open, stage)
    assert len(stage.effects("begin")) == added, "what is enqueued after one has begun is another"


async def test_renewing_and_finishing_do_not_deadlock(stage: Stage) -> None:
    async with db.transaction() as session:
        many = [{"number": number, "seconds": 0} for number in range(MANY)]
        await enqueue_many(session, "faults.work", many)
    for _ in range(2):
        stage.start_worker(WORKER_LEASE="1", WORKER_MAX_JOBS="50")
    await until(nothing_open, stage, 180)
    assert await count(State.DONE) == MANY
    begun = Counter(effect.what for effect in stage.effects("begin"))
    assert set(begun.values()) == {1}
    assert "deadlock" not in stage.log()
    assert "cannot be written" not in stage.log()
