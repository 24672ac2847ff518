"""Renewing leases, and cancelling what was lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import update

from app.database import db
from app.jobs.engine import leases
from app.jobs.engine.lease_keeper import LeaseKeeper
from app.jobs.engine.state import WorkerState
from app.jobs.models import Job
from app.patches.lost_cancellations import end
from tests.jobs.conftest import jobs
from tests.jobs.engine.conftest import begin, lease_one, unsaved


@pytest.fixture
async def keeper(state: WorkerState) -> AsyncIterator[None]:
    running = asyncio.create_task(LeaseKeeper(state).run())
    yield
    await end(running)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.02)


async def leased_until() -> datetime:
    [job] = await jobs()
    assert job.leased_until
    return job.leased_until


async def test_a_lease_is_renewed_while_the_job_runs(state: WorkerState, keeper: None) -> None:
    task = begin(state, await lease_one(), time.monotonic())
    first = await leased_until()
    await asyncio.sleep(0.6)
    assert (await leased_until() - first).total_seconds() > 0.2
    assert not task.done()
    await end(task)


async def test_a_job_whose_lease_was_lost_is_cancelled(state: WorkerState, keeper: None) -> None:
    job = await lease_one()
    task = begin(state, job, time.monotonic())
    [run] = state.runs.values()
    prefetched = unsaved()
    state.prefetched[prefetched.key] = prefetched
    async with db.transaction() as session:
        await session.execute(update(Job).values(lease=Job.lease + 1, worker="another"))
    await until(task.done)
    assert task.cancelled()
    assert not run.unrenewed
    assert state.prefetched == {}


async def test_a_job_that_has_completed_is_not_cancelled(state: WorkerState, keeper: None) -> None:
    job = unsaved()
    job.completed = True
    task = begin(state, job, time.monotonic())
    await asyncio.sleep(0.5)
    assert not task.done()
    await end(task)


async def test_what_goes_on_after_it_has_completed_costs_nothing(
    state: WorkerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals = 0
    renew = leases.renew

    async def counted(*arguments: Any) -> leases.Changed:
        nonlocal renewals
        renewals += 1
        return await renew(*arguments)

    monkeypatch.setattr(leases, "renew", counted)
    job = unsaved()
    job.completed = True
    task = begin(state, job, time.monotonic())
    keeper = asyncio.create_task(LeaseKeeper(state).run())
    await asyncio.sleep(1.5)
    await end(keeper)
    await end(task)
    assert 1 <= renewals <= 10


async def test_without_a_database_jobs_are_cancelled_before_their_leases_end(
    state: WorkerState, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def away() -> AsyncIterator[None]:
        raise OSError("away")
        yield  # type: ignore[unreachable]  # what makes it a generator

    task = begin(state, await lease_one(), time.monotonic())
    leased_at = time.monotonic()
    [run] = state.runs.values()
    with monkeypatch.context() as patched:
        patched.setattr(state.database, "begin", away)
        running = asyncio.create_task(LeaseKeeper(state).run())
        await until(task.done)
        await end(running)
    assert 0.4 < time.monotonic() - leased_at < 1.0
    assert task.cancelled()
    assert run.unrenewed
    assert "Leases cannot be renewed" in caplog.text
