"""Ending a worker that would otherwise hang."""

import asyncio
import faulthandler
import os
import signal
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from app.jobs.engine import watchdog
from app.jobs.engine.state import WorkerState
from app.jobs.engine.watchdog import Watchdog
from app.patches.lost_cancellations import end
from tests.jobs.engine.conftest import begin, unsaved

ARMED: list[float] = []
STATUSES: list[int] = []


@pytest.fixture(autouse=True)
def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what would end this process."""
    ARMED.clear()
    STATUSES.clear()
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: ARMED.append(seconds))
    monkeypatch.setattr(faulthandler, "register", lambda *_, **__: None)
    monkeypatch.setattr(faulthandler, "dump_traceback", lambda **_: None)
    monkeypatch.setattr(os, "_exit", STATUSES.append)
    monkeypatch.setattr(watchdog, "PULSE", 0.05)


@pytest.fixture
async def watch(
    state: WorkerState, main: "asyncio.Task[None]"
) -> AsyncIterator["asyncio.Task[None]"]:
    """The watchdog of a worker whose leases last a second, at its work."""
    dog = Watchdog(state, main)
    running = asyncio.create_task(dog.run())
    await asyncio.sleep(0)
    yield running
    await end(running)
    dog.disarm()


@pytest.fixture
async def main() -> AsyncIterator["asyncio.Task[None]"]:
    """The task in which arq would run."""
    task = asyncio.create_task(asyncio.sleep(60))
    yield task
    await end(task)


@pytest.mark.usefixtures("watch")
async def test_the_process_lives_while_the_loop_runs() -> None:
    await asyncio.sleep(0.8)
    assert STATUSES == []
    assert len(ARMED) > 2, "the limit of CPU time is put off again and again"


@pytest.mark.usefixtures("watch")
async def test_the_process_ends_half_a_lease_after_the_loop_has_stopped(
    state: WorkerState,
) -> None:
    await asyncio.sleep(0.1)
    began = time.monotonic()
    while not STATUSES and time.monotonic() < began + 20:
        time.sleep(0.02)
    assert STATUSES[:1] == [1]
    assert time.monotonic() - began > 0.3


async def test_a_disarmed_watchdog_lets_the_process_live(
    state: WorkerState, main: "asyncio.Task[None]"
) -> None:
    dog = Watchdog(state, main)
    running = asyncio.create_task(dog.run())
    await asyncio.sleep(0.1)
    await end(running)
    dog.disarm()
    await asyncio.sleep(0.8)
    assert STATUSES == []
    assert ARMED[-1] == 0


async def test_time_in_which_the_process_was_suspended_does_not_count(
    state: WorkerState, monkeypatch: pytest.MonkeyPatch, watch: "asyncio.Task[None]"
) -> None:
    task = begin(state, unsaved(), time.monotonic())
    await asyncio.sleep(0.1)
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
    monkeypatch.setattr("app.jobs.engine.watchdog.time", later)
    await asyncio.sleep(0.3)
    assert (STATUSES, watch.done()) == ([], False)
    await end(task)


@pytest.mark.parametrize(("overrun", "killed"), [(-0.5, False), (0.1, True)])
async def test_a_job_that_ignores_its_time_limit_ends_the_worker(
    state: WorkerState,
    monkeypatch: pytest.MonkeyPatch,
    watch: "asyncio.Task[None]",
    overrun: float,
    killed: bool,
) -> None:
    monkeypatch.setattr(watchdog, "GRACE", 0.2)
    limit = state.settings.WORKER_JOB_TIMEOUT
    task = begin(state, unsaved(), time.monotonic() - limit - overrun)
    await asyncio.sleep(0.4)
    assert (STATUSES[:1] == [1]) == killed
    await end(task)


@pytest.mark.usefixtures("watch")
async def test_arq_is_cancelled_again_if_it_does_not_stop_in_time(
    state: WorkerState, main: "asyncio.Task[None]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LATE", 0.3)
    state.stopping.set()
    await asyncio.sleep(0.1)
    assert state.awake.is_set(), "the dispatcher is told"
    assert not main.done()
    await asyncio.wait([main], timeout=2)
    assert main.cancelled()


@pytest.mark.usefixtures("watch")
async def test_running_jobs_get_their_time_to_finish(
    state: WorkerState, main: "asyncio.Task[None]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "LATE", 0.1)
    task = begin(state, unsaved(), time.monotonic())
    state.stopping.set()
    await asyncio.sleep(0.5)
    assert not main.done(), "WORKER_COMPLETION_WAIT is longer"
    await end(task)
