"""What a worker says and records of a job whose lease it has lost meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from unittest.mock import AsyncMock

import pytest
from quart import Quart
from sqlalchemy import select, update

from app.database import db
from app.jobs.context import GiveUp, completing, report
from app.jobs.engine import execution, leases
from app.jobs.engine.attempts import Attempts
from app.jobs.engine.dispatcher import Dispatcher
from app.jobs.engine.result_writer import ResultWriter
from app.jobs.engine.state import WorkerState
from app.jobs.models import Job
from app.jobs.queue import KINDS, job
from app.patches.lost_cancellations import end
from tests.jobs.conftest import jobs, put
from tests.jobs.declared import RAN
from tests.jobs.engine.conftest import lease_one, unsaved


async def take_over() -> None:
    """Lease the only job as another worker does after this one has been suspended."""
    async with db.transaction() as session:
        await session.execute(
            update(Job).values(lease=Job.lease + 1, worker="another", attempt=Job.attempt + 1)
        )


@job("tests.lose_and_end")
async def lose_and_end() -> None:
    await take_over()


@job("tests.lose_and_fail")
async def lose_and_fail() -> None:
    await take_over()
    raise ConnectionResetError


@job("tests.lose_and_die", max_attempts=1)
async def lose_and_die() -> None:
    await take_over()
    raise ConnectionResetError


@job("tests.lose_and_give_up")
async def lose_and_give_up() -> None:
    await take_over()
    raise GiveUp("There is no such thing.")


@job("tests.lose_and_overrun", timeout=0.2)
async def lose_and_overrun() -> None:
    await take_over()
    await asyncio.sleep(5)


@job("tests.lose_and_complete")
async def lose_and_complete() -> None:
    await take_over()
    async with completing():
        pass


@job("tests.lose_and_report")
async def lose_and_report() -> None:
    await take_over()
    await report(1, 1)


LOSERS = [
    "tests.lose_and_end",
    "tests.lose_and_fail",
    "tests.lose_and_die",
    "tests.lose_and_give_up",
    "tests.lose_and_overrun",
    "tests.lose_and_complete",
    "tests.lose_and_report",
]


@pytest.fixture
async def attempts(state: WorkerState) -> AsyncIterator[Attempts]:
    results = ResultWriter(db, lambda: 1)
    writing = asyncio.create_task(results.run())
    yield Attempts(state, results)
    await end(writing)


async def start(state: WorkerState, attempts: Attempts, name: str) -> "asyncio.Task[None]":
    """Lease a job and start it as arq does."""
    leased = await lease_one(name)
    state.prefetched[leased.key] = leased
    state.asked_for.add("slot")
    return asyncio.create_task(attempts.run("slot"))


async def recorded(state: WorkerState) -> None:
    """Return when the outcomes are written."""
    async with asyncio.timeout(5):
        while state.started or state.unrecorded:
            await asyncio.sleep(0.01)


async def assert_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The log says that the lease was lost, in one line; the other's row is as it was."""
    [row] = await jobs()
    [line] = [each for each in caplog.records if each.name == "app.jobs"]
    assert line.levelno == logging.WARNING
    assert line.exc_info is None
    said = line.getMessage()
    assert said.startswith(f"{row.name} ({row.id}) has lost its lease: another worker has taken it")
    assert "failed" not in said
    assert "\n" not in said
    assert (row.state, row.worker, row.attempt, row.error) == ("running", "another", 2, None)


@pytest.mark.parametrize("name", LOSERS)
async def test_however_a_job_ends_after_its_lease_was_lost_it_says_so_and_nothing_is_recorded(
    state: WorkerState, attempts: Attempts, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    await (await start(state, attempts, name))
    await recorded(state)
    await assert_left_alone(caplog)


async def running(state: WorkerState) -> "asyncio.Task[None]":
    """Return the task of the only job's function, once it runs."""
    async with asyncio.timeout(5):
        while not state.runs:
            await asyncio.sleep(0.01)
    [run] = state.runs.values()
    return run.task


@pytest.fixture
def sleepy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of this name sleeps until it is cancelled."""

    @job("tests.sleep_on")
    async def sleep_on() -> None:
        await asyncio.sleep(60)


@pytest.mark.usefixtures("sleepy")
async def test_a_job_that_the_lease_keeper_cancels_has_lost_its_lease(
    state: WorkerState, attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    await start(state, attempts, "tests.sleep_on")
    task = await running(state)
    await take_over()
    task.cancel()
    await recorded(state)
    await assert_left_alone(caplog)


@pytest.mark.usefixtures("sleepy")
async def test_a_worker_that_stops_does_not_say_that_it_releases_what_it_has_lost(
    state: WorkerState, attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = await start(state, attempts, "tests.sleep_on")
    await running(state)
    await take_over()
    attempt.cancel()
    await asyncio.wait([attempt])
    await assert_left_alone(caplog)


@pytest.mark.usefixtures("sleepy")
async def test_a_worker_that_stops_says_what_it_releases(
    state: WorkerState, attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = await start(state, attempts, "tests.sleep_on")
    await running(state)
    attempt.cancel()
    await asyncio.wait([attempt])
    assert [each.getMessage() for each in caplog.records] == [
        "tests.sleep_on is released: this worker stops"
    ]
    [row] = await jobs()
    assert (row.state, row.attempt) == ("waiting", 0)


@pytest.mark.usefixtures("sleepy")
async def test_a_job_whose_lease_could_not_be_renewed_is_not_said_to_be_anothers(
    state: WorkerState, attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    await start(state, attempts, "tests.sleep_on")
    task = await running(state)
    [run] = state.runs.values()
    run.cancelled = run.unrenewed = True
    task.cancel()
    await recorded(state)
    [line] = [each.getMessage() for each in caplog.records]
    [row] = await jobs()
    assert line.startswith(f"tests.sleep_on ({row.id}) was cancelled, since its lease could not be")
    assert (row.state, row.attempt) == ("running", 1)


async def test_a_job_that_cancels_itself_has_failed(state: WorkerState, attempts: Attempts) -> None:
    await (await start(state, attempts, "tests.cancel_itself"))
    await recorded(state)
    [row] = await jobs()
    assert (row.state, row.error) == ("dead", "RuntimeError: It has cancelled itself.")


async def test_a_job_run_by_hand_that_cancels_itself_has_failed(app: Quart) -> None:
    identifier = await put("tests.cancel_itself")
    error = await execution.run_now(await execution.start(identifier))
    assert str(error) == "It has cancelled itself."
    [row] = await jobs()
    assert row.state == "dead"


@pytest.mark.parametrize("at_once", [None, 1])
async def test_a_slot_does_not_wait_for_a_row_that_is_locked(
    state: WorkerState,
    attempts: Attempts,
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int | None,
) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite locks no rows")
    first = await put("tests.note", value=1)
    await put("tests.note", value=2)
    async with db.begin() as connection:
        taken = await leases.take(connection, "worker", 2)
    monkeypatch.setitem(KINDS, "tests.note", replace(KINDS["tests.note"], at_once=at_once))
    state.prefetched = {each.key: each for each in taken}
    async with db.session() as session:
        await session.execute(select(Job).where(Job.id == first).with_for_update())
        state.asked_for.add("slot")
        async with asyncio.timeout(5):
            await attempts.run("slot")
        await recorded(state)
        assert RAN == [2]
        assert list(state.set_aside) == [taken[0].key]
        assert taken[0].key in state.leased()
        assert state.held()["tests.note"] == 0, "others of its kind may run"
        state.awake.clear()
        [before] = await jobs(id=first)
    async with asyncio.timeout(5):
        await state.awake.wait()
    assert state.set_aside == {}
    if at_once:  # another of its kind may run by now
        assert state.prefetched == {}
        [released] = await jobs(id=first)
        assert (released.state, released.attempt, released.leased_until) == ("waiting", 0, None)
        assert released.due_at == before.due_at
    else:
        state.asked_for.add("slot")
        await attempts.run("slot")
        assert RAN == [2, 1]


async def test_an_outcome_that_the_database_refuses_is_not_said_to_be_recorded(
    state: WorkerState,
    attempts: Attempts,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refused(*_: object) -> None:
        return None

    monkeypatch.setattr(ResultWriter, "fail", refused)
    await (await start(state, attempts, "tests.fail"))
    await recorded(state)
    assert "failed, but that could not be recorded" in caplog.text
    assert "is retried later" not in caplog.text


async def test_a_job_run_by_hand_that_a_worker_has_taken_over_is_not_said_to_be_done(
    app: Quart,
) -> None:
    for name in LOSERS:
        identifier = await put(name)
        error = await execution.run_now(await execution.start(identifier))
        assert type(error).__name__ == "LeaseLost", name
        [row] = await jobs(id=identifier)
        assert (row.state, row.worker, row.error) == ("running", "another", None)


async def test_a_slot_that_is_old_ends_between_two_jobs(
    state: WorkerState, attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """arq has one time limit for all jobs of a slot, and would cancel one that has just begun."""
    monkeypatch.setattr("app.jobs.engine.attempts.SLOT_AGE", 0.0)
    slot = await start(state, attempts, "tests.note")
    await slot
    assert len(state.prefetched) == 1, "it has not started"
    assert state.awake.is_set(), "so another slot is asked for"
    assert not state.open


async def test_who_finds_no_room_looks_again(state: WorkerState) -> None:
    """Otherwise what came meanwhile waits for the next sweep."""
    state.started |= {job.key: job for job in (unsaved() for _ in range(4))}
    asked = AsyncMock()
    await Dispatcher(state, asked, ResultWriter(db, lambda: 1))._take()
    assert state.more_due
    assert asked.ask_for.await_args.args == (set(),)
