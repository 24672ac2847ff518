"""What a worker holds, and how much more it leases."""

from app.jobs.engine.state import WorkerState, arq_key
from tests.jobs.engine.conftest import unsaved


async def test_it_prefetches_as_many_as_have_finished(state: WorkerState) -> None:
    assert state.room() == 4
    state.finished = 3
    assert state.room() == 7
    state.finished = 100
    assert state.room() == 8, "never more than it can run at once"


async def test_a_worker_with_long_jobs_leases_no_more_than_it_runs(state: WorkerState) -> None:
    for jobs in (state.started, state.prefetched):
        jobs |= {arq_key(job): job for job in (unsaved(), unsaved())}
    assert state.room() == 0


async def test_leases_are_kept_until_outcomes_are_recorded(state: WorkerState) -> None:
    for jobs in (state.started, state.prefetched, state.unrecorded):
        job = unsaved()
        jobs[arq_key(job)] = job
    assert len(state.leased()) == 3
