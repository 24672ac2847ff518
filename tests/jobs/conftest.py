"""A worker for tests, and jobs for it to run."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from arq.worker import Worker, create_worker, func
from quart import Quart
from sqlalchemy import select

from app.config import Config
from app.database import db
from app.jobs.engine.arq_queue import QUEUE, RUN
from app.jobs.engine.runner import Runner
from app.jobs.models import Job
from app.jobs.queue import enqueue
from app.redis import deserialize, serialize, worker_redis
from app.worker import worker_settings
from tests.jobs.declared import RAN

Work = Callable[[], Awaitable[Worker]]


async def put(name: str, **options: Any) -> Any:
    """Enqueue a job in a transaction of its own; returns its id."""
    async with db.transaction() as session:
        return await enqueue(session, name, **options)


async def jobs(**values: Any) -> list[Job]:
    """All jobs with these values, the oldest first."""
    async with db.session() as session:
        return list(
            (
                await session.execute(select(Job).filter_by(**values).order_by(Job.created_at))
            ).scalars()
        )


async def run_burst() -> Worker:
    """Run everything that is due, in a worker as it is put together for `arq`."""
    worker = create_worker(worker_settings("testing"), burst=True, handle_signals=False)
    try:
        async with asyncio.timeout(30):
            await worker.async_run()
    finally:
        await worker.close()
    return worker


async def run_due(app: Quart) -> None:
    """Run everything that is due with this application's own engine.

    It spares building an application for every mail that a test reads.
    """
    settings: Config = app.extensions["settings"]
    stopping = threading.Event()
    name = f"test:{uuid4().hex}"
    queue = worker_redis(settings, f"{QUEUE}:{name}", stopping)
    runner = Runner(app, queue, settings, name, stopping)

    async def start(ctx: dict[str, Any]) -> None:
        await runner.start()

    async def run(ctx: dict[str, Any], slot: str) -> None:
        await runner.run(slot)

    async def stop(ctx: dict[str, Any]) -> None:
        await runner.stop()

    worker = Worker(
        functions=[func(run, name=RUN)],
        redis_pool=queue,
        queue_name=queue.default_queue_name,
        job_serializer=serialize,
        job_deserializer=deserialize,
        burst=True,
        handle_signals=False,
        poll_delay=0.02,
        on_startup=start,
        on_shutdown=stop,
    )
    try:
        async with asyncio.timeout(30):
            await worker.async_run()
    finally:
        await worker.close()


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """Forget what the jobs of earlier tests have left."""
    RAN.clear()


@pytest.fixture
async def work(app: Quart) -> Work:
    """Runs everything that is due."""
    return run_burst


@pytest.fixture
def quick(settings: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed jobs are due again almost at once, in this process' own workers."""
    monkeypatch.setenv("JOB_BACKOFF", "0.2")
    settings.JOB_BACKOFF = 0.2
