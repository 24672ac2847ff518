"""Ending a worker that would otherwise hang: its event loop, a job, or arq's own shutdown."""

import asyncio
import faulthandler
import time
from typing import Any

from app.jobs.engine.execution import kill_worker, time_limit
from app.jobs.engine.state import WorkerState

PULSE = 0.5  # seconds between two signs that the event loop runs
# Seconds beyond a job's time limit after which the worker ends, if cancelling has not stopped it.
GRACE = 60
# Seconds beyond WORKER_COMPLETION_WAIT after which arq should have ended.
LATE = 1


class Watchdog:
    """Ends this process rather than let a job run in two workers at once, or never stop."""

    def __init__(self, state: WorkerState, main: "asyncio.Task[Any] | None") -> None:
        self._state = state
        self._main = main  # arq's
        self._told: float | None = None  # to stop, by the monotonic clock

    async def run(self) -> None:
        """Watch, until cancelled.

        A job that blocks the event loop keeps its lease from being renewed. faulthandler then ends
        the process after half a lease, before another worker starts the job. It does so from a
        thread that needs no interpreter, and its traceback shows where the loop hangs.
        """
        lease = self._state.settings.WORKER_LEASE
        while True:
            faulthandler.dump_traceback_later(lease / 2, exit=True, file=2)
            if self._state.stopping.is_set():
                self._enforce_stop()
            self._enforce_time_limits()
            await asyncio.sleep(PULSE)

    def disarm(self) -> None:
        """Let this process live, now that nothing runs in it."""
        faulthandler.cancel_dump_traceback_later()

    def _enforce_stop(self) -> None:
        state = self._state
        state.awake.set()  # the dispatcher learns here that it has to stop
        self._told = self._told or time.monotonic()
        wait = state.settings.WORKER_COMPLETION_WAIT if state.started else 0
        if self._main and time.monotonic() - self._told > wait + LATE:
            # arq has cancelled it too, but that may have been lost: see `lost_cancellations`.
            self._main.cancel()

    def _enforce_time_limits(self) -> None:
        for run in self._state.runs.values():
            limit = time_limit(run.job, self._state.settings)
            if time.monotonic() - run.since > limit + GRACE:
                kill_worker(run.job)
