"""The threads in which jobs block, by `asyncio.to_thread`: whose they are, and which are lost.

A thread cannot be stopped. One whose job has ended, at its time limit for example, runs on; it is
lost to other jobs, and would keep this process from ending.
"""

from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from app.interruptions import JOB_THREAD
from app.jobs.context import Key, Leased, current

# Beyond one for each job: for look-ups of hosts and the like.
OTHERS = 8


class JobThreads(ThreadPoolExecutor):
    """The event loop's threads. It belongs to the loop, and is used in its thread alone."""

    def __init__(self, jobs_at_once: int) -> None:
        super().__init__(jobs_at_once + OTHERS, thread_name_prefix=JOB_THREAD)
        self.size = jobs_at_once + OTHERS
        self._used: dict[Future[Any], Leased] = {}

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Run a function in a thread of the current job."""
        future = super().submit(function, *args, **options)
        if job := current.get():
            self._used[future] = job
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads, without waiting for those that jobs have left."""
        super().shutdown(wait and not self.lost(()), cancel_futures=cancel_futures)

    def lost(self, running: Collection[Key]) -> Counter[str]:
        """Return in how many threads jobs are still at work that are not `running`, by name."""
        return Counter(job.name for job in self.left(running).values())

    def left(self, running: Collection[Key]) -> dict[Future[Any], Leased]:
        """Return what still runs in threads, of jobs that are not `running`."""
        self._used = {future: job for future, job in self._used.items() if not future.done()}
        return {
            future: job
            for future, job in self._used.items()
            if future.running() and job.key not in running
        }
