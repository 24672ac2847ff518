"""What one worker holds at this moment; the engine's parts read and change it."""

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from quart import Quart

from app.config import Config
from app.database import Database
from app.jobs.context import Key, Leased


@dataclass(slots=True)
class Run:
    """A job whose function runs."""

    job: Leased
    task: asyncio.Task[None]
    since: float  # by the process's monotonic clock
    # Cancelled because its lease could not be renewed; whether it was lost is not known.
    unrenewed: bool = False


@dataclass(slots=True)
class WorkerState:
    """A worker's leased jobs, by the step that they have reached, and its wake-up call.

    Jobs are found by the key under which arq knows them (see `arq_key`). All of this lives in one
    event loop, so it needs no locks.
    """

    app: Quart
    settings: Config
    database: Database
    worker: str  # its name in the column `worker`
    stopping: threading.Event  # set by the signal to stop

    prefetched: dict[str, Leased] = field(default_factory=dict)  # handed to arq, not started yet
    started: dict[str, Leased] = field(default_factory=dict)  # arq runs them
    runs: dict[str, Run] = field(default_factory=dict)  # of those: the function runs
    unrecorded: dict[str, Leased] = field(default_factory=dict)  # ended, outcome not written yet

    finished: int = 0  # jobs since the last poll of the database
    more_due: bool = False  # the last poll left due jobs behind
    # Whether this may be a `--burst` that has not emptied the queue yet.
    bursting: bool = True
    awake: asyncio.Event = field(default_factory=asyncio.Event)  # have the dispatcher poll now

    def leased(self) -> dict[str, Leased]:
        """Return every job whose lease this worker has to keep."""
        return self.prefetched | self.started | self.unrecorded

    def room(self) -> int:
        """Return how many jobs to lease now.

        Prefetch only as many as finished since the last poll, so that a worker with long jobs does
        not hoard work that others could do.
        """
        most = self.settings.WORKER_MAX_JOBS
        return most + min(self.finished, most) - len(self.prefetched) - len(self.started)


def arq_key(job: Leased) -> str:
    """Return the key of a lease in arq's queue: a job that is leased again gets another."""
    return f"{job.id}:{job.lease}"


def keys(jobs: Iterable[Leased]) -> list[Key]:
    """Return what the leases of these jobs are known by in the database."""
    return [job.key for job in jobs]
