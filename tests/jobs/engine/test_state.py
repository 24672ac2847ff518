"""What a worker holds, how much more it leases, and how many slots it asks for."""

import time

from app.jobs.engine.state import AHEAD, MOST_AHEAD, WorkerState
from tests.jobs.engine.conftest import unsaved


async def test_it_leases_ahead_as_many_as_have_finished(state: WorkerState) -> None:
    assert state.room() == 4
    state.finished = 30
    assert state.room() == 34
    state.finished = 10 * MOST_AHEAD
    assert state.room() == 4 + MOST_AHEAD


async def test_a_worker_with_long_jobs_leases_no_more_than_it_runs(state: WorkerState) -> None:
    for jobs in (state.started, state.prefetched):
        jobs |= {job.key: job for job in (unsaved(), unsaved())}
    state.finished, state.polled_at = 10, time.monotonic() - 100 * AHEAD
    assert state.room() == 0


async def test_leases_are_kept_until_outcomes_are_recorded(state: WorkerState) -> None:
    for jobs in (state.started, state.prefetched, state.unrecorded):
        job = unsaved()
        jobs[job.key] = job
    assert len(state.leased()) == 3


async def test_it_asks_for_a_slot_for_each_job_as_long_as_it_has_room(state: WorkerState) -> None:
    assert state.wanted_slots() == 0
    state.prefetched |= {job.key: job for job in (unsaved(), unsaved())}
    assert state.wanted_slots() == 2
    state.asked_for.add("one")
    assert state.wanted_slots() == 1, "the other has been asked for"
    state.open |= {"two", "three"}
    assert state.wanted_slots() == 1, "those that are open may be busy for long"
    state.open.add("four")
    assert state.wanted_slots() == 0, "four jobs at once, and no more"
