"""One worker's engine: its parts, started and stopped together."""

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any

from arq.connections import ArqRedis
from quart import Quart

from app.away import REDIS_AWAY
from app.config import Config
from app.database import Database
from app.jobs.engine.arq_queue import ArqQueue
from app.jobs.engine.attempts import Attempts
from app.jobs.engine.dispatcher import Dispatcher
from app.jobs.engine.execution import LAST_WORDS
from app.jobs.engine.lease_keeper import LeaseKeeper
from app.jobs.engine.result_writer import ResultWriter
from app.jobs.engine.state import WorkerState, keys
from app.jobs.engine.threads import JobThreads
from app.jobs.engine.watchdog import Watchdog
from app.jobs.queue import KINDS
from app.patches.lost_cancellations import end

logger = logging.getLogger("app.jobs")

# Database connections of the engine's own: jobs that hold all the app's connections must not keep
# their leases from being renewed.
CONNECTIONS = 3

SLOTS_LOOK = 0.1  # seconds


class Runner:
    """Runs jobs in this process: `start`, then `run` for each slot that arq opens, then `stop`."""

    def __init__(
        self, app: Quart, redis: ArqRedis, settings: Config, worker: str, stopping: threading.Event
    ) -> None:
        own = settings.model_copy(update={"DATABASE_POOL_SIZE": CONNECTIONS})
        database = Database(own)
        threads = JobThreads(settings.WORKER_MAX_JOBS)
        self.state = WorkerState(app, settings, database, worker, stopping, threads)
        self._results = ResultWriter(database, self._worthwhile)
        self._queue = ArqQueue(redis)
        self._attempts = Attempts(self.state, self._results)
        self._watchdog: Watchdog | None = None
        self._dispatching: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        # What arq calls: see `Attempts.run`.
        self.run = self._attempts.run

    async def start(self) -> None:
        """Begin to look for jobs, in the background. arq's main task has to call this."""
        logger.info("Worker %s runs %d kinds of jobs", self.state.worker, len(KINDS))
        asyncio.get_running_loop().set_default_executor(self.state.threads)
        await self._queue.open()
        dispatcher = Dispatcher(self.state, self._queue, self._results)
        self._watchdog = Watchdog(self.state, asyncio.current_task())
        self._dispatching = self._begin(dispatcher.run())
        for coroutine in (
            self._results.run(),
            dispatcher.listen(),
            LeaseKeeper(self.state).run(),
            self._watchdog.run(),
        ):
            self._begin(coroutine)

    async def stop(self) -> None:
        """Release what has not been finished, and end."""
        state = self.state
        if self._dispatching and state.stopping.is_set():
            # By itself: cancelled in the middle of a poll, it would leave jobs leased.
            state.awake.set()
            await asyncio.wait([self._dispatching], timeout=LAST_WORDS)
        try:
            async with asyncio.timeout(LAST_WORDS):
                unfinished = state.unstarted() | state.started
                await self._results.release(keys(unfinished.values()))
                await self._results.flushed()
        except TimeoutError:
            logger.error("Jobs could not be released: they run again when their leases end")
        await end(*self._tasks)
        if self._watchdog:
            self._watchdog.disarm()
        await state.database.dispose()
        with contextlib.suppress(*REDIS_AWAY):  # then it expires
            await self._queue.delete()

    async def slots_closed(self) -> None:
        """Wait until no job runs, each ended by itself, or cancelled by arq."""
        while self.state.open:  # noqa: ASYNC110  (arq, which is told, has given up on them)
            await asyncio.sleep(SLOTS_LOOK)

    def leave(self) -> None:
        """Stop, if something has left the event loop though nobody has told this worker to stop."""
        if not self.state.stopping.is_set():
            logger.critical("Something has left the event loop by an exit: this worker ends")
            self.state.fail()

    def end_process(self) -> None:
        """End this process with a status that tells whether this worker could not go on.

        Python would wait for threads that jobs have left, for ever if they are endless.
        """
        status = 1 if self.state.failed else 0
        if lost := self.state.threads.lost(()).total():
            logger.warning("Threads of jobs still run (%d): this process ends without them", lost)
            logging.shutdown()
            os._exit(status)
        if status:
            sys.exit(status)

    def _worthwhile(self) -> int:
        # With more jobs due, others end at any moment; the last ones should not wait for company.
        return self.state.settings.WORKER_MAX_JOBS * 2 // 3 if self.state.more_due else 1

    def _begin(self, part: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._guard(part))
        self._tasks.append(task)
        return task

    async def _guard(self, part: Coroutine[Any, Any, None]) -> None:
        """Run one part; if a bug ends it, end the worker, which would live on and do nothing."""
        try:
            async with self.state.app.app_context():
                await part
        except Exception:
            logger.critical("The worker cannot go on", exc_info=True)
            self.state.fail()
