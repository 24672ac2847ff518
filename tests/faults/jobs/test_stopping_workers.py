"""Workers that are told to stop: by whichever signal, with Redis or without it, it is the same."""

import asyncio
import signal
import subprocess
import time

import pytest
from sqlalchemy import select

from app.database import db
from app.jobs.models import Job
from tests.faults.jobs.conftest import Stage, put, until

pytestmark = pytest.mark.faults

ARQ = ("-m", "arq", "tests.faults.working.WorkerSettings")
# With jobs of the tests, which the command line does not import by itself.
RUN_WORKER = ("-c", "import tests.faults.working, manage; manage.cli(['run-worker'])")
ONE_IS_ENOUGH = "it takes a while, and the database has no part in it"

each_signal = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
each_command = pytest.mark.parametrize("command", [ARQ, RUN_WORKER], ids=["arq", "run-worker"])


async def rows() -> dict[int, tuple[str, int, bool]]:
    """Each job's state, its attempts, and whether it is leased."""
    async with db.session() as session:
        jobs = (await session.execute(select(Job).where(Job.name == "faults.work"))).scalars()
        return {j.args["number"]: (j.state, j.attempt, j.leased_until is not None) for j in jobs}


async def status(worker: "subprocess.Popen[bytes]", seconds: float = 20) -> int:
    return await asyncio.to_thread(worker.wait, seconds)


@each_command
@each_signal
async def test_every_signal_lets_jobs_finish_and_hands_the_others_back(
    stage: Stage, command: tuple[str, ...], number: signal.Signals
) -> None:
    worker = stage.start_worker(command=command, WORKER_COMPLETION_WAIT="4", WORKER_MAX_JOBS="2")
    for job, seconds in ((1, 1.5), (2, 30.0)):
        await put("faults.work", number=job, seconds=seconds)
    await until(lambda: len(stage.effects("begin")) == 2, stage)
    started = time.monotonic()
    worker.send_signal(number)
    await until(lambda: "Stopping: 2 running jobs" in stage.log(), stage, 2)
    await put("faults.work", number=3)
    await until(lambda: stage.effects("end"), stage)
    await put("faults.work", number=4)
    worker.send_signal(number)  # out of impatience: it changes nothing
    assert await status(worker) == 0
    assert time.monotonic() - started < 4 + 4
    assert [effect.what for effect in stage.effects("begin")] == ["1", "2"], "it took no more"
    assert await rows() == {
        1: ("done", 1, False),
        2: ("waiting", 0, False),
        3: ("waiting", 0, False),
        4: ("waiting", 0, False),
    }
    assert "Traceback" not in stage.log()


@each_command
@each_signal
async def test_a_worker_can_be_stopped_while_redis_is_away(
    stage: Stage, backend: str, command: tuple[str, ...], number: signal.Signals
) -> None:
    if backend == "sqlite":
        pytest.skip(ONE_IS_ENOUGH)
    worker = stage.start_worker(command=command, WORKER_COMPLETION_WAIT="4", WORKER_MAX_JOBS="3")
    for job, seconds in ((1, 3.5), (2, 4.5), (3, 30.0)):
        await put("faults.work", number=job, seconds=seconds)
    await until(lambda: len(stage.effects("begin")) == 3, stage)
    await asyncio.to_thread(stage.kill_redis)
    await asyncio.sleep(1)
    started = time.monotonic()
    worker.send_signal(number)
    assert await status(worker) == 0
    assert time.monotonic() - started < 4 + 4
    assert await rows() == {
        1: ("done", 1, False),
        2: ("done", 1, False),
        3: ("waiting", 0, False),
    }
    assert "Traceback" not in stage.log()


@each_command
@each_signal
async def test_an_idle_worker_ends_at_once_with_redis_or_without_it(
    stage: Stage, backend: str, command: tuple[str, ...], number: signal.Signals
) -> None:
    if backend == "sqlite":
        pytest.skip(ONE_IS_ENOUGH)
    for away in (False, True):
        worker = stage.start_worker(command=command)
        await until(lambda: stage.log().count("kinds of jobs") == 1 + away, stage)  # noqa: B023
        await asyncio.sleep(1)
        if away:
            await asyncio.to_thread(stage.kill_redis)
            await asyncio.sleep(1)
        started = time.monotonic()
        worker.send_signal(number)
        assert await status(worker) == 0
        assert time.monotonic() - started < 5
        assert stage.log().count("Stopping: 0 running jobs") == 1 + away
    assert "Traceback" not in stage.log()


@each_command
async def test_what_is_ignored_stays_ignored(
    stage: Stage, backend: str, command: tuple[str, ...]
) -> None:
    """As under nohup, and in the background of a script."""
    if backend == "sqlite":
        pytest.skip(ONE_IS_ENOUGH)
    stage.ignored = (signal.SIGINT, signal.SIGHUP)
    worker = stage.start_worker(command=command)
    await until(lambda: "kinds of jobs" in stage.log(), stage)
    for number in stage.ignored:
        worker.send_signal(number)
    await asyncio.sleep(2)
    await put("faults.work", number=1)
    await until(lambda: stage.effects("end"), stage)
    worker.send_signal(signal.SIGTERM)
    assert await status(worker) == 0
    assert "restored" not in stage.log()
