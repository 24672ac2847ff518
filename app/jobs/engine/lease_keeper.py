"""Renewing the leases of a worker's jobs, and cancelling jobs whose lease was lost."""

import asyncio
import math
import time

from app.away import DATABASE_AWAY
from app.jobs.context import Key, Leased
from app.jobs.engine import leases
from app.jobs.engine.leases import Changed
from app.jobs.engine.outages import Outage
from app.jobs.engine.result_writer import RETRY_DELAY
from app.jobs.engine.state import WorkerState

# Of a lease: how often it is renewed, and how much of it may pass before a job whose lease could
# not be renewed is cancelled. The rest is for the job to end before another worker starts it.
RENEW_EVERY = 1 / 6
CANCEL_AFTER = 5 / 6


class LeaseKeeper:
    """Sees to it that no job runs in this worker after its lease has ended."""

    def __init__(self, state: WorkerState) -> None:
        self._state = state
        self._lease = state.settings.WORKER_LEASE

    async def run(self) -> None:
        """Renew the leases of all jobs, until cancelled.

        Jobs that another worker has leased meanwhile are cancelled. So are, before their leases
        end, those that cannot be renewed: all while the database is away, or one whose row another
        transaction has locked.
        """
        outage = Outage("Leases cannot be renewed")
        while True:
            await asyncio.sleep(min(self._lease * RENEW_EVERY, self._time_left()))
            asked, jobs = time.monotonic(), self._state.leased()
            try:
                changed = await self._renew(jobs, max(self._time_left(), RETRY_DELAY))
            except DATABASE_AWAY as error:
                outage.goes_on(error)
                changed = Changed(set(), locked=set(jobs))
            else:
                outage.is_over()
            for key in changed.done:
                jobs[key].renewed_at = asked
            self._cancel({key: jobs[key] for key in jobs.keys() - changed.done - changed.locked})
            over = {key: jobs[key] for key in changed.locked if self._ends(jobs[key])}
            self._cancel(over, unrenewed=True)

    def _time_left(self) -> float:
        """Return the seconds until the first of the jobs that may be cancelled has to be."""
        ends = [job.renewed_at for job in self._state.cancellable()]
        until = min(ends) + self._lease * CANCEL_AFTER if ends else math.inf
        return max(until - time.monotonic(), 0)

    def _ends(self, job: Leased) -> bool:
        return time.monotonic() >= job.renewed_at + self._lease * CANCEL_AFTER

    async def _renew(self, jobs: dict[Key, Leased], patience: float) -> Changed:
        if not jobs:
            return Changed(set(), set())
        async with asyncio.timeout(patience), self._state.database.begin() as connection:
            return await leases.renew(connection, jobs)

    def _cancel(self, lost: dict[Key, Leased], *, unrenewed: bool = False) -> None:
        for key, job in lost.items():
            self._state.prefetched.pop(key, None)
            self._state.set_aside.pop(key, None)
            if (run := self._state.runs.get(key)) and not job.completed:
                run.unrenewed = unrenewed
                run.cancelled = True
                run.task.cancel()
