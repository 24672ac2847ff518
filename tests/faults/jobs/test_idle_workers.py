"""Workers that would live on and run nothing: they end, with a status that a supervisor acts on."""

import asyncio
import signal

import pytest
from sqlalchemy import select

from app.database import db
from app.jobs.models import Job, State
from tests.faults.jobs.conftest import Stage, count, put, until

pytestmark = pytest.mark.faults


async def dead(number: int) -> bool:
    return await count(State.DEAD) == number


async def test_a_thread_that_hangs_does_not_keep_a_worker_from_stopping(stage: Stage) -> None:
    worker = stage.start_worker()
    await put("faults.hang", number=1)
    await until(lambda: dead(1), stage)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 15) == 0, "it was told to end, and has"
    assert "Threads of jobs still run (1)" in stage.log()


async def test_a_worker_that_has_lost_threads_is_replaced_once_it_is_idle(stage: Stage) -> None:
    worker = stage.start_worker(WORKER_MAX_JOBS="4", WORKER_JOB_TIMEOUT="90")
    await put("faults.hang", number=1)
    await put("faults.work", number=2, seconds=18)
    await until(lambda: "threads 1 has been lost" in stage.log(), stage, 40)
    assert "Of 12 threads 1 has been lost" in stage.log()
    assert "faults.hang (1)" in stage.log()
    assert worker.poll() is None, "it is not idle yet"
    assert await asyncio.to_thread(worker.wait, 40) == 1
    assert [effect.what for effect in stage.effects("end")] == ["2"], "it finished that first"
    assert await count(State.DONE) == 1


async def test_a_worker_that_has_lost_half_its_threads_waits_for_nothing(stage: Stage) -> None:
    worker = stage.start_worker(
        WORKER_MAX_JOBS="2", WORKER_COMPLETION_WAIT="2", WORKER_JOB_TIMEOUT="90"
    )
    for number in range(6):
        await put("faults.hang", number=number)
    await until(lambda: dead(6), stage)
    await put("faults.work", number=7, seconds=50)
    await until(lambda: stage.effects("begin", "7"), stage)
    assert await asyncio.to_thread(worker.wait, 40) == 1
    async with db.session() as session:
        [job] = (await session.execute(select(Job).where(Job.name == "faults.work"))).scalars()
    assert (job.state, job.attempt) == ("waiting", 0), "another worker may run it at once"


async def test_threads_that_end_by_themselves_are_not_lost(stage: Stage, backend: str) -> None:
    """Though at each moment one of them has outlived its job."""
    if backend == "sqlite":
        pytest.skip("it takes a while, and the database has no part in it")
    worker = stage.start_worker()
    await until(lambda: "kinds of jobs" in stage.log(), stage)
    for _ in range(22):
        await put("faults.fire", seconds=1.2)
        await asyncio.sleep(0.7)
    assert worker.poll() is None, stage.log()
    assert "lost" not in stage.log()
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 15) == 0


async def test_a_job_that_ignores_sigterm_does_so_for_itself_alone(stage: Stage) -> None:
    worker = stage.start_worker()
    await put("faults.deafen")
    await until(lambda: "it is restored" in stage.log(), stage)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 15) == 0


async def test_an_exit_that_leaves_the_event_loop_ends_the_worker(stage: Stage) -> None:
    worker = stage.start_worker(WORKER_COMPLETION_WAIT="3", WORKER_JOB_TIMEOUT="90")
    await put("faults.work", number=1, seconds=1)
    await put("faults.work", number=2, seconds=50)
    await until(lambda: len(stage.effects("begin")) == 2, stage)
    await put("faults.leave")
    assert await asyncio.to_thread(worker.wait, 30) == 1
    assert "left the event loop by an exit" in stage.log()
    assert [effect.what for effect in stage.effects("end")] == ["1"], "it had time to finish"
    async with db.session() as session:
        rows = (await session.execute(select(Job).order_by(Job.created_at))).scalars().all()
    assert [(row.state, row.attempt) for row in rows if row.name == "faults.work"] == [
        ("done", 1),
        ("waiting", 0),
    ]
