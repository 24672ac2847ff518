"""What happens to jobs whose workers are killed, stopped or put to sleep."""

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import select, update

from app.database import db, utcnow
from app.jobs.models import Job, Schedule, State
from app.jobs.queue import enqueue
from tests.faults.jobs.conftest import LEASE, Stage, count, nothing_open, put, until

pytestmark = pytest.mark.faults

COMMITTED, ROLLED_BACK = 240, 24


async def test_jobs_outlive_killed_workers_and_wiped_redis(stage: Stage) -> None:
    for _ in range(3):
        stage.start_worker()
    await until(lambda: stage.log().count("Starting worker") >= 3, stage)
    killed: dict[int, float] = {}

    async def enqueue_all() -> None:
        numbers = list(range(COMMITTED + ROLLED_BACK))
        rolled_back = set(random.sample(numbers, ROLLED_BACK))
        for number in numbers:
            with contextlib.suppress(ZeroDivisionError):
                async with db.transaction() as session:
                    await enqueue(
                        session,
                        "faults.work",
                        number=number if number not in rolled_back else -number - 1,
                    )
                    if number in rolled_back:
                        raise ZeroDivisionError
                committed.add(str(number))
            await asyncio.sleep(0.02)

    async def wreck() -> None:
        for number in range(4):
            await asyncio.sleep(1.2)
            victim = stage.workers[number % 3] if number < 3 else stage.workers[3]
            victim.kill()
            killed[victim.pid] = time.monotonic()
            await asyncio.to_thread(victim.wait)
            stage.start_worker()
            if number == 1:
                client = Redis(unix_socket_path=stage.socket)
                await client.flushall()
                await client.aclose()
            if number == 2:
                await asyncio.to_thread(stage.kill_redis)
                await asyncio.sleep(0.5)
                stage.start_redis()

    committed: set[str] = set()
    await asyncio.gather(enqueue_all(), wreck())
    await until(nothing_open, stage, 60)
    assert len(committed) == COMMITTED
    assert len(killed) == 4
    ended = Counter(effect.what for effect in stage.effects("end"))
    assert set(ended) == committed, "none lost, none phantom"
    begun = stage.effects("begin")
    assert {effect.what for effect in begun} == committed
    for what, times in Counter(effect.what for effect in begun).items():
        # Whoever began it and is not the last was killed: its outcome could not be written.
        earlier = [effect.pid for effect in begun if effect.what == what][:-1]
        assert times == 1 or set(earlier) <= set(killed), (
            f"{what} ran {times} times: {earlier}, killed {killed}"
        )
    assert await count(State.DONE) == COMMITTED


async def test_a_killed_workers_job_runs_again_within_its_lease(stage: Stage) -> None:
    victim = stage.start_worker()
    await put("faults.work", number=1, seconds=1.0)
    await until(lambda: stage.effects("begin"), stage)
    victim.kill()
    killed_at = time.monotonic()
    stage.start_worker()
    await until(lambda: stage.effects("end"), stage)
    [first, second] = stage.effects("begin")
    assert first.pid == victim.pid
    # The lease, what the first attempt is spread over, two sweeps, and the start of a process on a
    # busy machine.
    assert second.at - killed_at < LEASE + 2 + 1 + 4


async def test_a_job_that_has_been_taken_over_is_stopped(stage: Stage) -> None:
    stage.start_worker()
    await put("faults.work", number=1, seconds=20.0)
    await until(lambda: stage.effects("begin"), stage)
    async with db.transaction() as session:
        later = utcnow() + timedelta(hours=1)
        await session.execute(
            update(Job).values(lease=Job.lease + 1, worker="another", leased_until=later)
        )
    await until(lambda: "another worker has taken it over" in stage.log(), stage, LEASE)
    async with db.session() as session:
        [job] = (await session.execute(select(Job))).scalars()
    assert (job.state, job.worker, job.attempt, stage.effects("end")) == (
        "running",
        "another",
        1,
        [],
    )


async def test_sigterm_lets_jobs_finish_and_hands_the_others_back(stage: Stage) -> None:
    worker = stage.start_worker(WORKER_COMPLETION_WAIT="3", WORKER_MAX_JOBS="2")
    for number, seconds in ((1, 1.0), (2, 30.0)):
        await put("faults.work", number=number, seconds=seconds)
    await until(lambda: len(stage.effects("begin")) == 2, stage)
    await put("faults.work", number=3)
    worker.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert await asyncio.to_thread(worker.wait, 15) == 0
    assert time.monotonic() - started < 8
    assert [effect.what for effect in stage.effects("end")] == ["1"]
    async with db.session() as session:
        rows = (
            await session.execute(
                select(Job.args, Job.state, Job.attempt, Job.due_at, Job.leased_until)
            )
        ).all()
    found = {row.args["number"]: row for row in rows}
    assert (found[1].state, found[2].state, found[3].state) == ("done", "waiting", "waiting")
    assert (found[2].attempt, found[3].attempt) == (0, 0), "neither has used up an attempt"
    assert all(
        found[number].due_at <= utcnow() and not found[number].leased_until for number in (2, 3)
    ), "another worker may have them at once"
    assert "Traceback" not in stage.log()


async def test_a_new_job_waits_for_a_worker_that_knows_it(stage: Stage) -> None:
    stage.start_worker()
    await until(lambda: "Starting worker" in stage.log(), stage)
    await put("faults.newer")
    await asyncio.sleep(2)
    assert await count(State.WAITING) == 1
    stage.start_worker(NEWER="1")
    await until(nothing_open, stage)
    assert len(stage.effects("begin", "newer")) == 1


async def test_schedules_tick_once_for_all_workers_whatever_their_clocks_say(stage: Stage) -> None:
    for skew in ("0", "7200", "-7200"):
        stage.start_worker(SKEW=skew)
    await until(lambda: stage.log().count("Starting worker") >= 3, stage)

    async def scheduled() -> bool:
        async with db.session() as session:
            return (await session.execute(select(Schedule))).first() is not None

    await until(scheduled, stage)
    assert stage.effects() == [], "a new schedule begins with its next tick"
    for missed in (1, 30):
        minute = None
        while utcnow().minute != minute:  # a tick of its own came in between: once more
            minute, before = utcnow().minute, len(stage.effects("begin", "tick"))
            async with db.transaction() as session:
                await session.execute(
                    update(Schedule).values(tick=utcnow() - timedelta(minutes=missed, seconds=60))
                )
            await asyncio.sleep(2)
        assert len(stage.effects("begin", "tick")) == before + 1, (
            f"{missed} missed ticks are caught up once"
        )
    async with db.session() as session:
        [row] = (await session.execute(select(Schedule))).scalars()
    assert timedelta() <= utcnow() - row.tick < timedelta(minutes=1, seconds=5)
