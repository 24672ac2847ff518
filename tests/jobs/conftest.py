"""A worker for tests, and jobs for it to run."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from arq.worker import Worker, create_worker
from quart import Quart
from sqlalchemy import select

from app.config import Config
from app.database import db
from app.jobs.models import Job
from app.jobs.queue import enqueue
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
    """Run everything that is due."""
    worker = create_worker(worker_settings("testing"), burst=True, handle_signals=False)
    try:
        async with asyncio.timeout(30):
            await worker.async_run()
    finally:
        await worker.close()
    return worker


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
