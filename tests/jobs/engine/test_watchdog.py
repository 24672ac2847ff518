"""Ending a worker that would otherwise hang."""

import asyncio
import faulthandler
import os
import time
from collections.abc import AsyncIterator

import pytest

from app.jobs.engine import watchdog
from app.jobs.engine.state import WorkerState
from app.jobs.engine.watchdog import GRACE, Watchdog
from app.patches.lost_cancellations import end
from tests.jobs.engine.conftest import begin, unsaved

ARMED: list[float] = []


@pytest.fixture(autouse=True)
def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what would end this process."""
    ARMED.clear()
    monkeypatch.setattr(
        faulthandler, "dump_traceback_later", lambda seconds, **_: ARMED.append(seconds)
    )
    monkeypatch.setattr(watchdog, "PULSE", 0.05)


class Ended(Exception):
    """This process has ended."""


@pytest.fixture
async def main() -> AsyncIterator["asyncio.Task[None]"]:
    """The task in which arq would run."""
    task = asyncio.create_task(asyncio.sleep(60))
    yield task
    await end(task)


async def test_the_process_ends_half_a_lease_after_the_loop_has_stopped(
    state: WorkerState, main: "asyncio.Task[None]"
) -> None:
    running = asyncio.create_task(Watchdog(state, main).run())
    await asyncio.sleep(0.2)
    await end(running)
    assert len(ARMED) > 2, "it is put off again and again while the loop runs"
    assert set(ARMED) == {state.settings.WORKER_LEASE / 2}


@pytest.mark.parametrize(("overrun", "killed"), [(GRACE - 5, False), (GRACE + 5, True)])
async def test_a_job_that_ignores_its_time_limit_ends_the_worker(
    state: WorkerState,
    main: "asyncio.Task[None]",
    monkeypatch: pytest.MonkeyPatch,
    overrun: float,
    killed: bool,
) -> None:
    def leave(status: int) -> None:
        raise Ended

    monkeypatch.setattr(os, "_exit", leave)
    limit = state.settings.WORKER_JOB_TIMEOUT
    task = begin(state, unsaved(), time.monotonic() - limit - overrun)
    running = asyncio.create_task(Watchdog(state, main).run())
    await asyncio.wait([running], timeout=0.2)
    assert (running.done() and isinstance(running.exception(), Ended)) == killed
    await end(task, running)


async def test_arq_is_cancelled_again_if_it_does_not_stop_in_time(
    state: WorkerState, main: "asyncio.Task[None]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LATE", 0.3)
    state.stopping.set()
    running = asyncio.create_task(Watchdog(state, main).run())
    await asyncio.sleep(0.1)
    assert state.awake.is_set(), "the dispatcher is told"
    assert not main.done()
    await asyncio.wait([main], timeout=2)
    assert main.cancelled()
    await end(running)


async def test_running_jobs_get_their_time_to_finish(
    state: WorkerState, main: "asyncio.Task[None]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LATE", 0.1)
    task = begin(state, unsaved(), time.monotonic())
    state.stopping.set()
    running = asyncio.create_task(Watchdog(state, main).run())
    await asyncio.sleep(0.5)
    assert not main.done(), "WORKER_COMPLETION_WAIT is longer"
    await end(task, running)
