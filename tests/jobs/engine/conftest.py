"""The state of a worker of which a test drives one part alone."""

import asyncio
import threading
import time
from uuid import uuid4

import pytest
from quart import Quart

from app.config import Config
from app.database import db
from app.jobs.context import Leased
from app.jobs.engine import leases
from app.jobs.engine.state import Run, WorkerState
from app.jobs.engine.threads import JobThreads
from tests.jobs.conftest import put


@pytest.fixture
async def state(app: Quart, settings: Config) -> WorkerState:
    """A worker that may run four jobs at once, and has leases of a second."""
    quick = settings.model_copy(update={"WORKER_MAX_JOBS": 4, "WORKER_LEASE": 1.0})
    stopping, threads = threading.Event(), JobThreads(quick.WORKER_MAX_JOBS)
    return WorkerState(app, quick, app.extensions["database"], "worker", stopping, threads)


async def lease_one(name: str = "tests.note") -> Leased:
    """Enqueue a job and lease it for the worker."""
    await put(name)
    async with db.begin() as connection:
        [job] = await leases.take(connection, "worker", 1)
    return job


def unsaved(name: str = "tests.note") -> Leased:
    """A leased job that the database does not know."""
    return Leased(uuid4(), name, {}, 1, 0, leases.complete, time.monotonic())


def begin(state: WorkerState, job: Leased, since: float) -> "asyncio.Task[None]":
    """Let a job run that never ends by itself."""

    async def endless() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(endless())
    state.started[job.key] = job
    state.runs[job.key] = Run(job, task, since)
    return task
