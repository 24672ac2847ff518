"""Jobs that kill their worker, block its event loop, or ignore their time limit."""

import asyncio
import signal
import time

import pytest
from sqlalchemy import select

from app.database import db
from app.jobs.models import Job, State
from tests.faults.jobs.conftest import LEASE, Stage, count, nothing_open, put, until

pytestmark = pytest.mark.faults


async def test_a_poison_job_dies_and_the_others_go_on(stage: Stage) -> None:
    await put("faults.poison")
    for number in range(20):
        await put("faults.work", number=number)
    deadline = time.monotonic() + 90
    while not await nothing_open():
        assert time.monotonic() < deadline, stage.log()[-3000:]
        worker = stage.start_worker()  # as a supervisor does
        while worker.poll() is None and not await nothing_open():
            await asyncio.sleep(0.1)
    async with db.session() as session:
        dead = (await session.execute(select(Job).where(Job.state == State.DEAD))).scalars().all()
    assert [(job.name, job.attempt) for job in dead] == [("faults.poison", 3)]
    assert "died in it" in str(dead[0].error)
    assert len(stage.effects("begin", "poison")) == 3
    assert {effect.what for effect in stage.effects("end")} == {str(number) for number in range(20)}


async def test_a_job_that_blocks_the_loop_is_never_at_work_twice_at_once(stage: Stage) -> None:
    first, second = stage.start_worker(), stage.start_worker()
    await until(lambda: stage.log().count("Starting worker") >= 2, stage)
    await put("faults.block", seconds=LEASE * 3)
    await until(lambda: len(stage.effects("begin")) == 2, stage, LEASE * 4 + 10)
    begun = stage.effects("begin")
    assert {begun[0].pid, begun[1].pid} == {first.pid, second.pid}
    blocked = first if begun[0].pid == first.pid else second
    assert blocked.poll() is not None, "whoever held up its loop was gone before another began"
    assert "faults/working.py" in stage.log(), "the log shows where it hung"
    assert stage.effects("end") == []


async def test_a_job_that_holds_the_interpreter_ends_its_worker(stage: Stage) -> None:
    worker = stage.start_worker()
    await put("faults.hold")
    # CPU time, which a busy machine gives it late.
    assert await asyncio.to_thread(worker.wait, 60) == -signal.SIGVTALRM
    assert "faults/working.py" in stage.log(), "the log shows where it hung"


async def test_a_job_that_overruns_is_never_at_work_twice_at_once(stage: Stage) -> None:
    stage.start_worker()
    stage.start_worker()
    await put("faults.stubborn")
    await until(nothing_open, stage, 40)
    runs = stage.effects(None, "stubborn")
    assert [effect.event for effect in runs] == ["begin", "end"], (
        "it took longer than a lease, which was renewed"
    )


async def test_a_job_that_takes_no_notice_of_its_end_does_not_keep_the_worker(stage: Stage) -> None:
    worker = stage.start_worker(WORKER_COMPLETION_WAIT="1")
    await put("faults.stubborn", seconds=60)
    await until(lambda: stage.effects("begin"), stage)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 20) == 1
    assert "ignores its cancellation" in stage.log()
    async with db.session() as session:
        [job] = (await session.execute(select(Job).where(Job.name == "faults.stubborn"))).scalars()
    assert (job.state, job.attempt) == ("running", 1), "its lease ends after the process has"


async def test_completing_may_take_longer_than_a_lease_and_harms_nobody(
    stage: Stage, backend: str
) -> None:
    if backend == "sqlite":
        pytest.skip("there a transaction that writes keeps everybody else from writing")
    stage.start_worker()
    stage.start_worker()
    await put("faults.complete", seconds=LEASE * 2.5)
    await put("faults.work", number=1, seconds=LEASE * 2.5)
    await until(nothing_open, stage, LEASE * 2.5 + 15)
    assert sorted(effect.what for effect in stage.effects("begin")) == ["1", "complete"]
    assert sorted(effect.what for effect in stage.effects("end")) == ["1", "complete"]
    assert await count(State.DONE) == 2
