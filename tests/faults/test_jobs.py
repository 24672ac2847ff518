"""What happens to jobs when workers, Redis or the jobs themselves misbehave."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from quart import Quart
from redis.asyncio import Redis
from sqlalchemy import func, select, update

from app.database import db, utcnow
from app.environment import PROJECT_ROOT
from app.jobs.models import Job, Schedule, State
from app.jobs.queue import enqueue
from tests.conftest import MakeApp
from tests.processes import variables
from tests.servers import Server, start_valkey

pytestmark = pytest.mark.faults

LEASE = 3
ONE_IS_ENOUGH = "it takes a minute, and the database has no part in it"


@dataclass
class Effect:
    """A line that a job has left."""

    event: str
    what: str
    pid: int
    at: float


class Stage:
    """A database, a Redis of its own, and workers to come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.effects_file = folder / "effects"
        self.effects_file.touch()
        self.valkey: Server | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start_redis()

    def start_redis(self) -> None:
        socket = self.folder / "valkey.sock"
        socket.unlink(missing_ok=True)
        self.valkey, self.socket = start_valkey(self.folder)

    def kill_redis(self) -> None:
        """Without a chance to save anything."""
        assert self.valkey
        subprocess.run(["pkill", "-KILL", "-P", str(self.valkey.process.pid)], check=True)
        self.valkey.stop()

    def signal_redis(self, number: signal.Signals) -> None:
        assert self.valkey
        subprocess.run(
            ["pkill", f"-{number.name[3:]}", "-P", str(self.valkey.process.pid)], check=True
        )

    def start_worker(
        self, module: str = "tests.faults.working", **more: str
    ) -> subprocess.Popen[bytes]:
        settings = {
            "WORKER_LEASE": str(LEASE),
            "WORKER_SWEEP": "0.5",
            "JOB_BACKOFF": "0.5",
            "LOG_LEVEL": "INFO",
        }
        env = variables(
            QUART_CONFIG="testing",
            TEST_DATABASE_URL=os.environ["TEST_DATABASE_URL"],
            REDIS_URL=f"unix://{self.socket}",
            EFFECTS=str(self.effects_file),
            **settings | more,
        )
        with (self.folder / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "arq", f"{module}.WorkerSettings"]
            worker = subprocess.Popen(command, env=env, cwd=PROJECT_ROOT, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()

    def effects(self, event: str | None = None, what: str | None = None) -> list[Effect]:
        lines = [line.split() for line in self.effects_file.read_text().splitlines()]
        found = [Effect(event, what, int(pid), float(at)) for event, what, pid, at in lines]
        # What the schedule enqueues each minute is another story.
        return [
            e
            for e in found
            if event in (None, e.event) and (e.what == what or (not what and e.what != "tick"))
        ]

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        if self.valkey:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.signal_redis(signal.SIGCONT)
            self.valkey.stop()


@pytest.fixture
async def stage(
    app: Quart, make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """The stage, inside the context of an app that wakes its workers."""
    stage = Stage(tmp_path)
    monkeypatch.setenv("REDIS_URL", f"unix://{stage.socket}")
    try:
        async with make_app().app_context():
            yield stage
    finally:
        await asyncio.to_thread(stage.end)


async def put(name: str, **args: object) -> None:
    async with db.transaction() as session:
        await enqueue(session, name, **args)  # type: ignore[arg-type]


async def count(*states: State) -> int:
    async with db.session() as session:
        query = select(func.count(Job.id)).where(Job.state.in_(states), Job.name != "faults.tick")
        return (await session.execute(query)).scalar_one()


async def until(condition: Callable[[], object], stage: Stage, seconds: float = 30) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if (await result) if asyncio.iscoroutine(result) else result:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"it did not happen within {seconds} s:\n{stage.log()[-4000:]}")


async def nothing_open() -> bool:
    return await count(State.WAITING, State.RUNNING) == 0


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


async def test_a_redis_that_forgets_what_it_was_handed_loses_nothing(stage: Stage) -> None:
    stage.start_worker(WORKER_MAX_JOBS="2")
    for number in range(20):
        await put("faults.work", number=number, seconds=0.3)
    await until(lambda: stage.effects("end"), stage)
    client = Redis(unix_socket_path=stage.socket)
    for _ in range(30):
        await client.flushall()
        await asyncio.sleep(0.1)
    await client.aclose()
    await until(nothing_open, stage)
    assert Counter(effect.what for effect in stage.effects("end")) == Counter(map(str, range(20)))
    async with db.session() as session:
        attempts = (
            (await session.execute(select(Job.attempt).where(Job.name == "faults.work")))
            .scalars()
            .all()
        )
    assert attempts == [1] * 20


async def test_a_job_that_has_been_taken_over_is_stopped(stage: Stage) -> None:
    stage.start_worker()
    await put("faults.work", number=1, seconds=20.0)
    await until(lambda: stage.effects("begin"), stage)
    async with db.transaction() as session:
        later = utcnow() + timedelta(hours=1)
        await session.execute(
            update(Job).values(lease=Job.lease + 1, worker="another", leased_until=later)
        )
    await until(lambda: "was left to another worker" in stage.log(), stage, LEASE)
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


async def test_a_worker_that_has_slept_through_its_lease_stops_what_it_does(stage: Stage) -> None:
    sleeper = stage.start_worker()
    await put("faults.work", number=1, seconds=4.0)
    await until(lambda: stage.effects("begin"), stage)
    sleeper.send_signal(signal.SIGSTOP)
    other = stage.start_worker()
    await until(lambda: len(stage.effects("begin")) == 2, stage)
    sleeper.send_signal(signal.SIGCONT)
    await until(nothing_open, stage)
    assert [effect.pid for effect in stage.effects("end")] == [other.pid]


async def test_schedules_tick_once_for_all_workers_whatever_their_clocks_say(stage: Stage) -> None:
    for skew in ("0", "7200", "-7200"):
        stage.start_worker(SKEW=skew)
    await until(lambda: stage.log().count("Starting worker") >= 3, stage)

    async def scheduled() -> bool:
        async with db.session() as session:
            return (await session.execute(select(Schedule))).first() is not None

    await until(scheduled, stage)
    assert stage.effects() == [], "a new schedule begins with its next tick"
    if utcnow().second > 45:  # a tick of its own would come in between
        await asyncio.sleep(62 - utcnow().second)
    before = len(stage.effects("begin", "tick"))
    for missed in (1, 30):
        async with db.transaction() as session:
            await session.execute(
                update(Schedule).values(tick=utcnow() - timedelta(minutes=missed, seconds=60))
            )
        await asyncio.sleep(2)
        before += 1
        assert len(stage.effects("begin", "tick")) == before, (
            f"{missed} missed ticks are caught up once"
        )
    async with db.session() as session:
        [row] = (await session.execute(select(Schedule))).scalars()
    assert timedelta() <= utcnow() - row.tick < timedelta(minutes=1, seconds=5)


async def test_a_new_job_waits_for_a_worker_that_knows_it(stage: Stage) -> None:
    stage.start_worker()
    await until(lambda: "Starting worker" in stage.log(), stage)
    await put("faults.newer")
    await asyncio.sleep(2)
    assert await count(State.WAITING) == 1
    stage.start_worker(NEWER="1")
    await until(nothing_open, stage)
    assert len(stage.effects("begin", "newer")) == 1


async def test_redis_away_costs_no_attempt_and_then_the_backlog_drains(
    stage: Stage, backend: str
) -> None:
    if backend == "sqlite":
        pytest.skip(ONE_IS_ENOUGH)
    stage.start_worker()
    await put("faults.work", number=0, seconds=0.0)
    await until(lambda: stage.effects("end"), stage)
    await asyncio.to_thread(stage.kill_redis)
    started = time.monotonic()
    for number in range(1, 21):
        before = time.monotonic()
        await put("faults.work", number=number, seconds=0.0)
        assert time.monotonic() - before < 1
    await asyncio.sleep(60 - (time.monotonic() - started))
    stage.start_redis()
    await until(nothing_open, stage, 20)
    assert stage.workers[0].poll() is None, "the worker has lived through it"
    async with db.session() as session:
        attempts = (
            (await session.execute(select(Job.attempt).where(Job.name == "faults.work")))
            .scalars()
            .all()
        )
    assert attempts == [1] * 21
    assert Counter(effect.what for effect in stage.effects("end")) == Counter(map(str, range(21)))


async def test_a_redis_that_takes_no_writes_is_waited_for(stage: Stage, backend: str) -> None:
    if backend == "sqlite":
        pytest.skip(ONE_IS_ENOUGH)
    worker = stage.start_worker(WORKER_HEALTH_INTERVAL="1")
    await put("faults.work", number=0, seconds=0.0)
    await until(lambda: stage.effects("end"), stage)
    client = Redis(unix_socket_path=stage.socket)
    await client.config_set("maxmemory", "1")
    await put("faults.work", number=1, seconds=0.0)
    await asyncio.sleep(5)
    assert worker.poll() is None
    assert [effect.what for effect in stage.effects("end")] == ["0"]
    await client.config_set("maxmemory", "0")
    await client.aclose()
    await until(nothing_open, stage)
    assert [effect.what for effect in stage.effects("end")] == ["0", "1"]


async def test_a_frozen_redis_does_not_end_a_worker_and_it_can_be_stopped(
    stage: Stage, backend: str
) -> None:
    if backend == "sqlite":
        pytest.skip(ONE_IS_ENOUGH)
    worker = stage.start_worker()
    await put("faults.work", number=0, seconds=0.0)
    await until(lambda: stage.effects("end"), stage)
    stage.signal_redis(signal.SIGSTOP)
    for number in range(1, 6):
        before = time.monotonic()
        await put("faults.work", number=number, seconds=0.0)
        assert time.monotonic() - before < 1
    await asyncio.sleep(30)
    assert worker.poll() is None
    stage.signal_redis(signal.SIGCONT)
    await until(nothing_open, stage, 20)
    assert Counter(effect.what for effect in stage.effects("end")) == Counter(map(str, range(6)))
    stage.signal_redis(signal.SIGSTOP)
    await asyncio.sleep(1)
    worker.send_signal(signal.SIGTERM)
    await asyncio.to_thread(worker.wait, 30)
