"""What happens to jobs when Redis forgets, hangs, takes no writes or is away."""

import asyncio
import signal
import time
from collections import Counter

import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from app.config import Config
from app.database import db
from app.jobs.models import Job
from app.jobs.workers import SHARED_KEY, workers
from tests.faults.jobs.conftest import Stage, nothing_open, put, until

pytestmark = pytest.mark.faults

ONE_IS_ENOUGH = "it takes a minute, and the database has no part in it"


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


async def test_a_redis_that_was_emptied_soon_knows_its_workers(
    stage: Stage, backend: str, settings: Config
) -> None:
    if backend == "sqlite":
        pytest.skip("the database has no part in it")
    stage.start_worker()  # its WORKER_HEALTH_INTERVAL is 15 s
    client = Redis(unix_socket_path=stage.socket)

    async def known() -> bool:
        alive = await workers(client, settings)
        return bool(alive and await client.exists(settings.redis_key(SHARED_KEY)))

    await until(known, stage)
    await client.flushall()
    await until(known, stage, 5)
    await client.aclose()


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
        assert time.monotonic() - before < 5, "it does not wait for Redis"
    await asyncio.sleep(60 - (time.monotonic() - started))
    stage.start_redis()
    await until(nothing_open, stage, 20)
    assert stage.workers[0].poll() is None, "the worker has lived through it"
    said = [line for line in stage.log().splitlines() if "so jobs that are due wait" in line]
    assert 2 <= len(said) <= 6, "a line in two seconds fills a disk"
    assert "that is over" in said[-1]
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
        assert time.monotonic() - before < 5, "it does not wait for Redis"
    await asyncio.sleep(30)
    assert worker.poll() is None
    stage.signal_redis(signal.SIGCONT)
    await until(nothing_open, stage, 20)
    assert Counter(effect.what for effect in stage.effects("end")) == Counter(map(str, range(6)))
    stage.signal_redis(signal.SIGSTOP)
    await asyncio.sleep(1)
    worker.send_signal(signal.SIGTERM)
    await asyncio.to_thread(worker.wait, 30)
