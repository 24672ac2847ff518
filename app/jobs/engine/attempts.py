"""Attempts at jobs, one after another in each slot: claim, run the function, record the outcome."""

import asyncio
import logging
import time
from contextlib import suppress

from app.config import HOUR
from app.jobs.context import Leased, LeaseLost
from app.jobs.engine import leases
from app.jobs.engine.execution import LAST_WORDS, describe_error, error_of, kill_worker, perform
from app.jobs.engine.result_writer import LOCKED, RETRY_DELAY, ResultWriter
from app.jobs.engine.state import Run, WorkerState
from app.jobs.queue import KINDS
from app.logs import request_id

logger = logging.getLogger("app.jobs")

# Seconds that a slot without a job waits for the poll that is on its way: opening another costs
# more than a job that does little.
PATIENCE = 0.1

# Seconds after which a slot ends between two jobs: arq's time limit, a day more than that of the
# longest job, is for all the jobs of a slot.
SLOT_AGE = HOUR

# Outcomes of which nothing is recorded.
LOST = "has lost its lease: another worker has taken it over"
UNRENEWED = "was cancelled, since its lease could not be renewed: a worker runs it again"


class Attempts:
    """Runs jobs in the slots that arq opens."""

    def __init__(self, state: WorkerState, results: ResultWriter) -> None:
        self._state = state
        self._results = results
        self._tasks: set[asyncio.Task[None]] = set()  # which somebody has to hold

    async def run(self, slot: str) -> None:
        """Make attempts at prefetched jobs, one after another, until there are none.

        Names of slots that were not asked for are ignored: nobody who can write to Redis makes a
        worker run anything else, or more at once.
        """
        state = self._state
        if slot not in state.asked_for:
            return
        state.asked_for.discard(slot)
        state.open.add(slot)
        try:
            until = time.monotonic() + SLOT_AGE
            while time.monotonic() < until and (job := await self._next()):
                await self._attempt(job)
        finally:
            state.open.discard(slot)
            if state.prefetched:
                state.awake.set()  # for another slot

    async def _next(self) -> Leased | None:
        """Take the job that was prefetched first; None if there is none, or the worker stops."""
        state = self._state
        if not state.prefetched and state.more_due:
            state.arrived.clear()
            state.awake.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await state.arrived.wait()
        if not state.prefetched or state.stopping.is_set():
            return None
        return state.prefetched.pop(next(iter(state.prefetched)))

    async def _attempt(self, job: Leased) -> None:
        """Make one attempt at a job.

        Returns as soon as its function has, so that the slot takes another while the outcome is
        written.
        """
        state = self._state
        state.started[job.key] = job
        request_id.set(job.id.hex)
        try:
            claimed = await self._results.claim(job.key)
            if claimed is LOCKED:
                self._set_aside(job)
            elif claimed:
                job.attempt += 1
                await self._perform(job)
        except asyncio.CancelledError:
            await self._release(job)
            raise
        finally:
            del state.started[job.key]
            state.finished += 1
            self._ask_for_more(job)

    def _set_aside(self, job: Leased) -> None:
        """Give the slot to another job, while another transaction locks the row of this one."""
        self._state.set_aside[job.key] = job
        if KINDS[job.name].at_once:
            returning = asyncio.create_task(self._return(job))
            self._tasks.add(returning)
            returning.add_done_callback(self._tasks.discard)
        else:
            asyncio.get_running_loop().call_later(RETRY_DELAY, self._bring_back, job)

    def _bring_back(self, job: Leased) -> None:
        if self._state.set_aside.pop(job.key, None):  # unless it was released meanwhile
            self._state.prefetched[job.key] = job
            self._state.awake.set()

    async def _return(self, job: Leased) -> None:
        """Release a job when its row is free: its place may be taken, and it is due before others.

        With `_bring_back` more of its kind would run than may.
        """
        await self._results.release([job.key])
        self._state.set_aside.pop(job.key, None)
        self._state.awake.set()

    def _ask_for_more(self, ended: Leased) -> None:
        state = self._state
        if KINDS[ended.name].at_once:
            state.awake.set()  # the next of its kind may have been left behind
        # When half of the last poll's jobs have started: a poll for every job that ends would cost
        # more than the jobs.
        worthwhile = len(state.prefetched) <= state.taken // 2
        idle = not (state.prefetched or state.started)
        if (state.more_due and worthwhile) or (state.bursting and idle):
            state.awake.set()

    async def _perform(self, job: Leased) -> None:
        state = self._state
        began = time.perf_counter()
        task = asyncio.create_task(perform(job, state.app, state.settings))
        state.runs[job.key] = run = Run(job, task, time.monotonic())
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task], timeout=LAST_WORDS)
            if not task.done():
                kill_worker(job)
            if not job.completed and (task.cancelled() or task.exception()):
                raise
            # It ended well at the last moment, so that counts.
        finally:
            del state.runs[job.key]
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        if job.completed and not task.cancelled() and task.exception() is None:
            self._log(job, "done", milliseconds)
            return
        state.unrecorded[job.key] = job
        recording = asyncio.create_task(self._record(run, milliseconds))
        self._tasks.add(recording)
        recording.add_done_callback(lambda _: self._recorded(job, recording))

    async def _release(self, job: Leased) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                released = await asyncio.shield(self._results.release([job.key]))
        except TimeoutError:
            return  # `Runner.stop` says so
        if released:
            logger.warning("%s is released: this worker stops", job.name)
        else:
            logger.warning("%s (%s) %s", job.name, job.id, LOST)

    def _recorded(self, job: Leased, recording: "asyncio.Task[None]") -> None:
        self._tasks.discard(recording)
        del self._state.unrecorded[job.key]
        if self._state.bursting and not self._state.unrecorded:
            self._state.awake.set()

    async def _record(self, run: Run, milliseconds: float) -> None:
        job = run.job
        # Without the whole attempt, the function of a job is cancelled by the lease keeper.
        error = LeaseLost() if run.cancelled and run.task.cancelled() else error_of(run.task)
        self._log(job, await self._write_outcome(run, error), milliseconds, error)

    def _log(
        self, job: Leased, outcome: str, milliseconds: float, error: BaseException | None = None
    ) -> None:
        unrecorded = outcome in (LOST, UNRENEWED)
        logger.log(
            logging.INFO if error is None and not unrecorded else logging.WARNING,
            "%s%s %s; it ran %.1f ms, attempt %d",
            job.name,
            f" ({job.id})" if unrecorded else "",
            outcome,
            milliseconds,
            job.attempt,
            exc_info=None if unrecorded else error,
        )

    async def _write_outcome(self, run: Run, error: BaseException | None) -> str:
        """Write the outcome, unless `completing` has; returns it in words."""
        job = run.job
        if job.completed:
            return "done" if error is None else "done, though it failed afterwards"
        if error is None:
            return "done" if await self._results.finish(job.key) else LOST
        if isinstance(error, LeaseLost):
            return UNRENEWED if run.unrenewed else LOST
        text, final = describe_error(error)
        recorded = await self._results.fail(job, text, final)
        if recorded is None:
            return "failed, but that could not be recorded: it runs again when its lease ends"
        if not recorded:
            return LOST
        return "failed and is dead" if leases.is_last(job, final) else "failed and is retried later"
