"""Ending a worker that would otherwise hang: its event loop, a job, its threads, or its shutdown.

The time in which the process is suspended (SIGSTOP, a frozen container, a closed laptop) does not
count: a worker that wakes up goes on, and learns from the database which leases it has lost.
"""

import asyncio
import faulthandler
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, NoReturn

from app.jobs.context import Key
from app.jobs.engine.execution import kill_worker, time_limit
from app.jobs.engine.state import WorkerState
from app.jobs.engine.stop_signals import STOPPING

logger = logging.getLogger("app.jobs")

PULSE = 0.5  # seconds between two signs that the event loop runs
# How often a thread looks for that sign in half a lease. It counts its looks instead of reading a
# clock, since clocks run on while the process is suspended, and the thread does not.
LOOKS = 10
# Seconds beyond a job's time limit after which the worker ends, if cancelling has not stopped it.
GRACE = 60
# Seconds beyond WORKER_COMPLETION_WAIT after which arq should have ended, and after which this
# process has to.
LATE = 1
TOO_LATE = 20
# Seconds for which a thread that its job has left may go on before it counts as lost.
LEFT = 10


class Watchdog:
    """Ends this process rather than let a job run in two workers at once, or never stop."""

    def __init__(self, state: WorkerState, main: "asyncio.Task[Any] | None") -> None:
        self._state = state
        self._main = main  # arq's
        self._told: float | None = None  # to stop, by the monotonic clock
        self._missed = 0  # looks of the thread since the event loop ran last
        self._overdue: dict[Key, int] = {}  # pulses since each job's time limit
        self._left: dict[Future[Any], int] = {}  # pulses since its job has ended, for each thread
        self._lost: Counter[str] = Counter()  # of those: how many of each job, when last said
        self._disarmed = threading.Event()

    async def run(self) -> None:
        """Watch, until cancelled.

        A job that blocks the event loop keeps its lease from being renewed. The process then ends
        after half a lease, before another worker starts the job, and the traceback shows where the
        loop hangs. A thread sees to that. It cannot run while the job holds the interpreter, as a
        regular expression does; but that takes CPU time, of which a signal is the limit.
        """
        half = self._state.settings.WORKER_LEASE / 2
        pulse = min(PULSE, half / 4)
        # Many threads of one job may use up this much in a pulse, on a machine with many cores.
        cpu_time = max(half, 2 * pulse * (os.cpu_count() or 1))
        faulthandler.register(signal.SIGVTALRM, file=2, chain=True)  # then it ends the process
        threading.Thread(target=self._watch_loop, args=[half / LOOKS], daemon=True).start()
        handlers = {each: signal.getsignal(each) for each in STOPPING}
        while True:
            self._missed = 0
            signal.setitimer(signal.ITIMER_VIRTUAL, cpu_time)
            _restore(handlers)
            if self._state.stopping.is_set():
                self._enforce_stop()
            self._enforce_time_limits(pulse)
            self._replace_lost_threads(pulse)
            await asyncio.sleep(pulse)

    def disarm(self) -> None:
        """Let this process live, now that nothing runs in it."""
        self._disarmed.set()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        faulthandler.unregister(signal.SIGVTALRM)

    def _watch_loop(self, interval: float) -> None:
        patience = self._state.settings.WORKER_COMPLETION_WAIT + TOO_LATE
        told = 0  # looks since this worker was told to stop
        while not self._disarmed.wait(interval):
            self._missed += 1
            told += self._state.stopping.is_set()
            if self._missed >= LOOKS:
                self._end(b"The event loop is blocked: this worker ends.\n")
            if told * interval > patience:
                self._end(b"The worker has not stopped in time: it ends.\n")

    def _end(self, words: bytes) -> NoReturn:
        # Not by the log: the loop may hang in a handler of it, and hold its lock.
        os.write(2, words)
        faulthandler.dump_traceback(file=2)
        os._exit(1)

    def _enforce_stop(self) -> None:
        state = self._state
        state.awake.set()  # the dispatcher learns here that it has to stop
        self._told = self._told or time.monotonic()
        wait = state.settings.WORKER_COMPLETION_WAIT if state.started else 0
        if self._main and time.monotonic() - self._told > wait + LATE:
            # arq has cancelled it too, but that may have been lost: see `lost_cancellations`.
            self._main.cancel()

    def _enforce_time_limits(self, pulse: float) -> None:
        now = time.monotonic()
        self._overdue = {
            key: self._overdue.get(key, 0) + 1
            for key, run in self._state.runs.items()
            if now - run.since > time_limit(run.job, self._state.settings)
        }
        for key, pulses in self._overdue.items():
            if pulses * pulse > GRACE:
                kill_worker(self._state.runs[key].job)

    def _replace_lost_threads(self, pulse: float) -> None:
        """End this worker for another that has all its threads: once it is idle, or half are lost.

        A thread that its job has left may end by itself, so it gets some time.
        """
        state = self._state
        left = state.threads.left(state.runs)
        self._left = {future: self._left.get(future, 0) + 1 for future in left}
        lost = Counter(
            left[future].name for future, pulses in self._left.items() if pulses * pulse >= LEFT
        )
        if state.stopping.is_set():
            return
        if lost - self._lost:
            logger.warning(
                "Of %d threads %d %s been lost: they still run, and their jobs have ended: %s",
                state.threads.size,
                lost.total(),
                "has" if lost.total() == 1 else "have",
                ", ".join(f"{name} ({count})" for name, count in sorted(lost.items())),
            )
        self._lost = lost
        if lost and (state.is_idle() or lost.total() > state.threads.size / 2):
            logger.critical("This worker ends, so that another gets all its threads")
            state.fail()


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    """Have this process listen to the signals that stop it, whatever its jobs have set."""
    for each, handler in handlers.items():
        if signal.getsignal(each) is not handler:
            logger.warning("A job has replaced the handler of %s: it is restored", each.name)
            signal.signal(each, handler)
