"""What a worker does and says when it wakes up after its leases have ended."""

import asyncio
import signal
import subprocess

import pytest
from sqlalchemy import select

from app.database import db
from app.jobs.models import Job, State
from tests.faults.jobs.conftest import LEASE, Stage, count, nothing_open, put, until

pytestmark = [pytest.mark.faults, pytest.mark.waits]

LOST = "has lost its lease: another worker has taken it over"


async def rows() -> list[Job]:
    async with db.session() as session:
        query = select(Job).where(Job.name != "faults.tick").order_by(Job.created_at)
        return list((await session.execute(query)).scalars())


async def suspended(stage: Stage, **settings: str) -> subprocess.Popen[bytes]:
    """Start a worker and suspend it while it runs every job that there is."""
    worker = stage.start_worker(**settings)
    number = await count(State.WAITING)
    await until(lambda: len(stage.effects("begin")) == number, stage)
    worker.send_signal(signal.SIGSTOP)
    assert stage.effects("end") == []
    return worker


async def log_once_awake(
    stage: Stage, sleeper: subprocess.Popen[bytes], *numbers: signal.Signals
) -> list[str]:
    """Wake a worker with signals; return the lines that it logs of the jobs it had."""
    before = len(stage.log())
    for number in (*numbers, signal.SIGCONT):
        sleeper.send_signal(number)

    def lines() -> list[str]:
        return [line for line in stage.log()[before:].splitlines() if "app.jobs" in line]

    jobs = await rows()
    await until(lambda: all(any(str(job.id) in line for line in lines()) for job in jobs), stage)
    await asyncio.sleep(1)  # for what it might say besides
    logged = stage.log()[before:]
    assert "Traceback" not in logged
    assert "most recent call first" not in logged
    return [line for line in lines() if any(job.id.hex in line for job in jobs)]


async def test_a_worker_that_wakes_up_says_that_it_has_lost_its_jobs_and_records_nothing(
    stage: Stage,
) -> None:
    for number, then in enumerate(("end", "fail", "give up")):
        await put("faults.thaw", number=number, then=then)
    await put("faults.overrun", number=3)
    await put("faults.work", number=4, seconds=4.0)  # done here too, at the moment it wakes up
    sleeper = await suspended(stage)
    other = stage.start_worker()
    await until(nothing_open, stage)
    done = [(job.id, job.state, job.attempt, job.error, job.worker) for job in await rows()]
    lines = await log_once_awake(stage, sleeper)
    assert len(lines) == len(done), lines
    for job in await rows():
        [line] = [each for each in lines if str(job.id) in each]
        assert f"WARNING app.jobs [{job.id.hex}] {job.name} ({job.id}) {LOST}" in line
    assert [(job.id, job.state, job.attempt, job.error, job.worker) for job in await rows()] == done
    assert {(state, attempt, error) for _, state, attempt, error, _ in done} == {("done", 2, None)}
    # It goes on with other jobs.
    other.kill()
    await put("faults.work", number=5)
    await until(lambda: stage.effects("end", "5"), stage)
    assert stage.effects("end", "5")[0].pid == sleeper.pid


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_worker_that_wakes_up_stops_what_another_is_doing(
    stage: Stage, stopped: bool
) -> None:
    await put("faults.steps", number=1)
    sleeper = await suspended(stage, WORKER_COMPLETION_WAIT="0")
    other = stage.start_worker()
    await until(lambda: len(stage.effects("begin")) == 2, stage)
    [line] = await log_once_awake(stage, sleeper, *([signal.SIGTERM] if stopped else []))
    assert LOST in line
    if stopped:
        assert await asyncio.to_thread(sleeper.wait, 10) == 0
    assert "is released" not in stage.log()
    await until(nothing_open, stage)
    assert [(effect.what, effect.pid) for effect in stage.effects("end")] == [("1", other.pid)]


async def test_a_worker_that_nobody_replaced_goes_on_with_its_jobs(stage: Stage) -> None:
    await put("faults.work", number=1, seconds=2.0)
    sleeper = await suspended(stage)
    await asyncio.sleep(LEASE * 2)
    sleeper.send_signal(signal.SIGCONT)
    await until(nothing_open, stage)
    assert [effect.event for effect in stage.effects()] == ["begin", "end"]
    [job] = await rows()
    assert (job.state, job.attempt, sleeper.poll()) == ("done", 1, None)
