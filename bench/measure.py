"""One measurement, in a process of its own.

`python -m bench.measure WHAT NUMBER` prints a JSON list of seconds.
"""

import asyncio
import json
import logging
import random
import subprocess
import sys
import threading
import time
from typing import Any

from arq import func
from arq.worker import create_worker
from sqlalchemy import delete, insert, text

from app import migrations
from app.config import load_settings
from app.database import db
from app.factory import create_app
from app.jobs.context import completing
from app.jobs.models import Job, State, db_now
from app.jobs.queue import enqueue, enqueue_many, job
from app.redis import worker_redis
from app.worker import worker_settings

BEGUN: list[float] = []


@job("bench.noop")
async def noop(number: int = 0) -> None:
    """Do nothing."""
    BEGUN.append(time.perf_counter())


@job("bench.write")
async def write() -> None:
    """Write one row, and complete in the same transaction."""
    BEGUN.append(time.perf_counter())
    async with completing() as session:
        await session.execute(text("INSERT INTO bench (value) VALUES (1)"))


@job("bench.wake")
async def wake() -> None:
    """Print when it began, by the clock that all processes share."""
    print(time.monotonic(), flush=True)


async def bare(ctx: dict[str, Any]) -> None:
    """Do nothing, under arq alone."""
    BEGUN.append(time.perf_counter())


async def throughput_of_arq(number: int) -> list[float]:
    """Return the seconds that bare arq takes for so many jobs."""
    settings = load_settings()
    redis = worker_redis(settings, "arq:queue:bare", threading.Event())
    for _ in range(number):
        await redis.enqueue_job("bare")
    durable = vars(worker_settings())
    kept = (
        "job_serializer",
        "job_deserializer",
        "max_jobs",
        "poll_delay",
        "max_tries",
        "keep_result",
    )
    same = {name: durable[name] for name in kept}
    worker = create_worker(
        {
            "functions": [func(bare, name="bare")],
            "redis_pool": redis,
            "queue_name": redis.default_queue_name,
            **same,
        },
        burst=True,
        handle_signals=False,
    )
    logging.getLogger("arq").setLevel(logging.WARNING)
    await worker.async_run()
    ended = time.perf_counter()
    await worker.close()
    return [ended - BEGUN[0]]


async def throughput(name: str, number: int) -> list[float]:
    """Return the seconds that so many durable jobs take."""
    async with create_app().app_context():
        await _empty()
        async with db.transaction() as session:
            row = {"name": name, "args": {}, "state": State.WAITING}
            for _ in range(number // 100):
                await session.execute(
                    insert(Job).values(due_at=db_now(), created_at=db_now()), [row] * 100
                )
    worker = create_worker(worker_settings(), burst=True, handle_signals=False)
    await worker.async_run()
    ended = time.perf_counter()
    await worker.close()
    assert len(BEGUN) == number // 100 * 100, f"{len(BEGUN)} jobs ran"
    return [ended - BEGUN[0]]


async def _empty() -> None:
    """Empty the tables, and leave nothing behind that an earlier measurement has deleted."""
    async with db.transaction() as session:
        await session.execute(text("CREATE TABLE IF NOT EXISTS bench (value INTEGER)"))
        await session.execute(text("DELETE FROM bench"))
        await session.execute(delete(Job))
    if db.engine.dialect.name != "postgresql":
        return
    async with db.engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text("VACUUM"))


async def enqueueing(number: int) -> list[float]:
    """Return the seconds to enqueue so many jobs in one transaction, commit included."""
    async with create_app().app_context():
        many = [{"number": each} for each in range(number)]
        started = time.perf_counter()
        async with db.transaction() as session:
            await enqueue_many(session, "bench.noop", many)
        seconds = time.perf_counter() - started
        await _empty()
        return [seconds]


async def latency(number: int) -> list[float]:
    """Return the seconds from each commit until an idle worker begins."""
    arguments = [sys.executable, "-m", "bench.measure", "worker", "0"]
    app = create_app()
    await app.startup()
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as worker:
        assert worker.stdout
        waits = []
        async with app.app_context():
            for _ in range(number + 5):  # the first ones warm up
                async with db.transaction() as session:
                    await enqueue(session, "bench.wake")
                committed = time.monotonic()
                waits.append(float(await asyncio.to_thread(worker.stdout.readline)) - committed)
                await asyncio.sleep(random.uniform(0.05, 0.15))
        worker.terminate()
    await app.shutdown()
    return waits[5:]


def main(what: str, number: int) -> None:
    """Run one measurement."""
    if what == "worker":
        create_worker(worker_settings()).run()
        return
    asyncio.run(migrations.upgrade(load_settings()))
    measurements = {"bare": throughput_of_arq, "wake": latency, "enqueue": enqueueing}
    measurement = measurements.get(what)
    seconds = asyncio.run(
        measurement(number) if measurement else throughput(f"bench.{what}", number)
    )
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
