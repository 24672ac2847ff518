"""What one worker holds at this moment; the engine's parts read and change it."""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from quart import Quart

from app.config import Config
from app.database import Database
from app.jobs.context import Key, Leased
from app.jobs.engine.threads import JobThreads

# Seconds of work that a worker leases ahead, judged by how many jobs it has just finished: so one
# with long jobs does not hoard work that others could do. And the most jobs of one poll.
AHEAD = 0.1
MOST_AHEAD = 1000


@dataclass(slots=True)
class Run:
    """A job whose function runs."""

    job: Leased
    task: asyncio.Task[None]
    since: float  # by the process's monotonic clock
    cancelled: bool = False  # by the lease keeper
    # The reason was that its lease could not be renewed; whether it was lost is not known.
    unrenewed: bool = False


@dataclass(slots=True)
class WorkerState:
    """A worker's leased jobs by the step that they have reached, its slots, its wake-up call.

    A slot is a place for one job at a time: a job of arq's that runs prefetched jobs one after
    another until there are none. Jobs are found by id and lease. All of this lives in one event
    loop, so it needs no locks.
    """

    app: Quart
    settings: Config
    database: Database
    worker: str  # its name in the column `worker`
    stopping: threading.Event  # set by the signal to stop
    threads: JobThreads

    prefetched: dict[Key, Leased] = field(default_factory=dict)  # not started yet, in order
    # Not started, since another transaction has locked their rows: tried again in a moment.
    set_aside: dict[Key, Leased] = field(default_factory=dict)
    started: dict[Key, Leased] = field(default_factory=dict)  # in a slot
    runs: dict[Key, Run] = field(default_factory=dict)  # of those: the function runs
    unrecorded: dict[Key, Leased] = field(default_factory=dict)  # ended, outcome not written yet

    asked_for: set[str] = field(default_factory=set)  # slots that arq has not opened yet
    open: set[str] = field(default_factory=set)  # slots in which jobs run, or may

    finished: int = 0  # jobs since the last poll of the database
    polled_at: float = field(default_factory=time.monotonic)
    taken: int = 0  # jobs by the last poll
    more_due: bool = False  # the last poll left due jobs behind
    failed: bool = False  # this worker ends because it cannot go on
    # Whether this may be a `--burst` that has not emptied the queue yet.
    bursting: bool = True
    awake: asyncio.Event = field(default_factory=asyncio.Event)  # have the dispatcher poll now
    arrived: asyncio.Event = field(default_factory=asyncio.Event)  # jobs have been prefetched

    def fail(self) -> None:
        """Stop this worker as a signal does, with a status by which a supervisor starts another."""
        self.failed = True
        signal.raise_signal(signal.SIGTERM)

    def is_idle(self) -> bool:
        """Tell whether nothing is lost, and nobody waits, if this worker ends now."""
        return not self.leased()

    def unstarted(self) -> dict[Key, Leased]:
        """Return the jobs that have been leased and are not in a slot."""
        return self.prefetched | self.set_aside

    def leased(self) -> dict[Key, Leased]:
        """Return every job whose lease this worker has to keep."""
        return self.unstarted() | self.started | self.unrecorded

    def cancellable(self) -> list[Leased]:
        """Return the jobs that have to be given up before their leases end."""
        running = [run.job for run in self.runs.values() if not run.cancelled]
        return [*self.unstarted().values(), *(job for job in running if not job.completed)]

    def held(self) -> Counter[str]:
        """Return how many jobs of each name run, or are about to."""
        jobs = self.prefetched | self.started
        return Counter(job.name for job in jobs.values())

    def room(self) -> int:
        """Return how many jobs to lease now: one for each slot, and what is leased ahead.

        That is at most as many as have finished since the last poll, so it grows from poll to poll
        while jobs are short.
        """
        since = max(time.monotonic() - self.polled_at, AHEAD)
        ahead = min(int(self.finished * AHEAD / since), MOST_AHEAD)
        return self.settings.WORKER_MAX_JOBS + ahead - len(self.prefetched) - len(self.started)

    def wanted_slots(self) -> int:
        """Return how many more slots to ask arq for: one for each prefetched job, if it has room.

        Open slots go on with prefetched jobs by themselves; those that do not run a job are about
        to end or to take one.
        """
        room = self.settings.WORKER_MAX_JOBS - len(self.open) - len(self.asked_for)
        return max(min(room, len(self.prefetched) - len(self.asked_for)), 0)


def keys(jobs: Iterable[Leased]) -> list[Key]:
    """Return what the leases of these jobs are known by in the database."""
    return [job.key for job in jobs]
