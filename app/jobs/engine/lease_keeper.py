"""Renewing the leases of a worker's jobs, and cancelling jobs whose lease was lost."""

import asyncio
import logging
import time

from app.away import DATABASE_AWAY
from app.jobs.context import Key, Leased
from app.jobs.engine import leases
from app.jobs.engine.result_writer import RETRY_DELAY
from app.jobs.engine.state import WorkerState, keys

logger = logging.getLogger("app.jobs")

# Of a lease: how often it is renewed, and how much of it may pass before a job whose lease could
# not be renewed is cancelled. The rest is for the job to end before another worker starts it.
RENEW_EVERY = 1 / 6
CANCEL_AFTER = 5 / 6


class LeaseKeeper:
    """Sees to it that no job runs in this worker after its lease has ended."""

    def __init__(self, state: WorkerState) -> None:
        self._state = state

    async def run(self) -> None:
        """Renew the leases of all jobs, until cancelled.

        Jobs that another worker has leased meanwhile are cancelled. While the database is away, all
        are cancelled before their leases end.
        """
        lease = self._state.settings.WORKER_LEASE
        until = time.monotonic() + lease * CANCEL_AFTER
        while True:
            left = max(until - time.monotonic(), 0)
            await asyncio.sleep(min(lease * RENEW_EVERY, left))
            asked, jobs = time.monotonic(), self._state.leased()
            try:
                kept = await self._renew(jobs, max(until - asked, RETRY_DELAY))
                until = asked + lease * CANCEL_AFTER
            except DATABASE_AWAY as error:
                logger.error("Leases cannot be renewed: %s", error)
                if time.monotonic() < until:
                    continue
                self._cancel(jobs, unrenewed=True)
                until = time.monotonic() + lease * RENEW_EVERY
                continue
            self._cancel({key: job for key, job in jobs.items() if job.key not in kept})

    async def _renew(self, jobs: dict[Key, Leased], patience: float) -> set[Key]:
        if not jobs:
            return set()
        async with asyncio.timeout(patience), self._state.database.begin() as connection:
            return await leases.renew(connection, keys(jobs.values()))

    def _cancel(self, lost: dict[Key, Leased], *, unrenewed: bool = False) -> None:
        for key, job in lost.items():
            self._state.prefetched.pop(key, None)
            if (run := self._state.runs.get(key)) and not job.completed:
                run.unrenewed = unrenewed
                run.task.cancel()
