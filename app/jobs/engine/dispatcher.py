"""Leasing due jobs, and having arq open slots for them."""

import asyncio
import contextlib
import logging
import time
from uuid import uuid4

from redis.exceptions import RedisError

from app.away import DATABASE_AWAY, REDIS_AWAY
from app.config import HOUR
from app.jobs.engine import leases, ticks
from app.jobs.engine.arq_queue import ArqQueue
from app.jobs.engine.contended import take_late
from app.jobs.engine.outages import Outage
from app.jobs.engine.result_writer import RETRY_DELAY, ResultWriter
from app.jobs.engine.state import WorkerState, keys
from app.jobs.notifier import CHANNEL

logger = logging.getLogger("app.jobs")

AWAY = (*DATABASE_AWAY, *REDIS_AWAY)


class Dispatcher:
    """Polls the database when it is woken, when there is room, and every WORKER_SWEEP seconds."""

    def __init__(self, state: WorkerState, queue: ArqQueue, results: ResultWriter) -> None:
        self._state = state
        self._queue = queue
        self._results = results
        # Whether a `take` was never acknowledged, so that this worker may hold unknown leases.
        self._unacknowledged = False

    async def run(self) -> None:
        """Poll until this worker is told to stop, then release what has not started."""
        state = self._state
        swept = -state.settings.WORKER_SWEEP
        outage = Outage("Jobs cannot be looked for")
        while True:
            state.awake.clear()
            if state.stopping.is_set():
                logger.info(
                    "Stopping: %d running jobs get up to %d s to finish",
                    len(state.started),
                    state.settings.WORKER_COMPLETION_WAIT,
                )
                await self._release_prefetched()
                return
            try:
                if time.monotonic() - swept >= state.settings.WORKER_SWEEP:
                    # First: whatever fails in a sweep, jobs are taken.
                    swept = time.monotonic()
                    await self._sweep()
                await self._take()
            except AWAY as error:
                outage.goes_on(error)
                await asyncio.sleep(RETRY_DELAY)
                continue
            outage.is_over()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(state.settings.WORKER_SWEEP):
                    await state.awake.wait()

    async def listen(self) -> None:
        """Poll at once whenever a transaction that enqueued a job has committed."""
        redis = self._state.app.extensions["redis"]
        channel = self._state.settings.redis_key(CHANNEL)
        outage = Outage("Redis is away, so jobs that are due wait")
        while True:
            try:
                async with redis.pubsub() as messages:
                    await messages.subscribe(channel)
                    outage.is_over()
                    self._state.awake.set()  # for what was published before
                    while True:
                        if await messages.get_message(ignore_subscribe_messages=True, timeout=HOUR):
                            self._state.awake.set()
            except (RedisError, OSError) as error:
                outage.goes_on(error)
                await asyncio.sleep(RETRY_DELAY)

    async def _sweep(self) -> None:
        """Do what no message asks for: requeue jobs of dead workers, enqueue what the schedule
        says, and restore what Redis has forgotten.
        """
        state = self._state
        async with state.database.begin() as connection:
            await leases.recover(connection, keys(state.leased().values()))
        if job := await take_late(state.database, state.worker, state.room(), state.held()):
            state.prefetched[job.key] = job
        await ticks.enqueue_due(state.database, state.app.extensions["schedule"])
        await self._queue.ask_for(state.asked_for, opened=state.open, again=True)

    async def _take(self) -> None:
        """Lease due jobs if there is room, and ask for slots for what has not started."""
        state = self._state
        room = state.room()
        state.finished, state.polled_at = 0, time.monotonic()
        if room > 0:
            await self._lease(room)
        else:
            state.more_due = True  # there may be, so look again when there is room
        slots = {f"{state.worker}:{uuid4().hex}" for _ in range(state.wanted_slots())}
        state.asked_for |= slots
        await self._queue.ask_for(slots, opened=state.open)
        if state.bursting and not state.leased():
            await self._queue.end_burst()
            state.bursting = False

    async def _lease(self, room: int) -> None:
        state = self._state
        async with state.database.begin() as connection:
            if self._unacknowledged:
                known = keys(state.leased().values())
                await leases.release_unknown(connection, state.worker, known)
            self._unacknowledged = True  # until the commit is known to have happened
            taken = await leases.take(connection, state.worker, room, state.held())
        self._unacknowledged = False
        state.taken, state.more_due = len(taken), len(taken) == room
        state.prefetched |= {job.key: job for job in taken}
        state.arrived.set()

    async def _release_prefetched(self) -> None:
        released = self._state.unstarted()
        self._state.prefetched, self._state.set_aside = {}, {}
        await self._results.release(keys(released.values()))
