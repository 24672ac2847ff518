"""What a worker does beside arq.

It leases jobs, hands them to arq to run, and records what came of them.

arq polls, runs so many at once and ends in order; its queue is this worker's own, and holds nothing
but the keys of leased jobs. What is true of a job is in the database alone.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import threading
import time
from collections.abc import Coroutine
from typing import Any, NoReturn

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import serialize_job
from arq.utils import timestamp_ms
from quart import Quart
from redis.exceptions import RedisError

from app.config import DAY, HOUR, Config
from app.database import DATABASE_AWAY, Database
from app.jobs import schedule
from app.jobs.context import Key, Leased, LeaseLost
from app.jobs.engine import leases
from app.jobs.engine.execution import in_words, perform, time_of
from app.jobs.engine.result_writer import PAUSE, ResultWriter
from app.jobs.queue import CHANNEL, KINDS
from app.logs import request_id
from app.patches.lost_cancellations import end
from app.redis import REDIS_AWAY, serialize

logger = logging.getLogger("app.jobs")

# The name of arq's only function here.
RUN = "run"

AWAY = (*DATABASE_AWAY, *REDIS_AWAY)
LAST_WORDS = 5  # seconds that a worker which stops waits for the database
# seconds beyond a job's time-out after which the worker ends, if that has not stopped the job
LAST_RESORT = 60
LATE = 1  # seconds after which a worker that has nothing left to wait for should have ended
PULSE = 0.5  # seconds between two signs that the event loop runs
# of the runner's own; jobs that hold all the others must not keep their leases from being renewed
CONNECTIONS = 3

# A member of the queue far in the future. `arq --burst` ends when the queue is empty, and this one
# leaves it only when nothing is due any more.
SENTINEL = "burst"


class Runner:
    """One worker's share of the queue: what it holds, and the tasks that look after it."""

    def __init__(
        self, app: Quart, redis: ArqRedis, settings: Config, worker: str, stopping: threading.Event
    ) -> None:
        self._app = app
        self._redis = redis
        self._settings = settings
        self._worker = worker
        self._queue = redis.default_queue_name
        self._stopping = stopping
        self._database = Database(
            settings.model_copy(update={"DATABASE_POOL_SIZE": CONNECTIONS}), pre_ping=False
        )
        self._results = ResultWriter(
            self._database, lambda: settings.WORKER_MAX_JOBS // 2 if self._more else 1
        )
        self._ready: dict[str, Leased] = {}  # leased and handed to arq, which has not started them
        self._held: dict[str, Leased] = {}  # started
        self._performing: dict[
            str, tuple[Leased, asyncio.Task[None], float]
        ] = {}  # whose function runs, since when
        self._ended: dict[
            str, Leased
        ] = {}  # their function has returned, and the outcome is on its way
        self._recording: set[asyncio.Task[None]] = set()
        self._finished = 0  # since the last look at the queue
        self._unsure = False  # whether jobs may have been leased without an answer
        self._more = False  # whether more was due than we took
        self._bursting = (
            True  # as long as this may be a burst that has not seen the end of the queue
        )
        self._awake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._main: asyncio.Task[Any] | None = None
        self.failed = False  # this worker ends because of a mistake

    async def start(self) -> None:
        """Begin to look for jobs, in the background. arq's main task has to call this."""
        self._main = asyncio.current_task()
        logger.info("Worker %s runs %d kinds of jobs", self._worker, len(KINDS))
        await self._redis.zadd(self._queue, {SENTINEL: timestamp_ms() + DAY * 1000})
        await self._redis.expire(self._queue, DAY)
        for coroutine in (
            self._results.run(),
            self._dispatch(),
            self._renew(),
            self._listen(),
            self._pulse(),
        ):
            self._tasks.append(asyncio.create_task(self._in_context(coroutine)))

    async def stop(self) -> None:
        """Hand back what has not been finished, and end."""
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self._release([*self._ready.values(), *self._held.values()])
                await self._results.flushed()
        except TimeoutError:
            logger.error("Jobs could not be handed back: they run again when their leases end")
        await end(*self._tasks)
        faulthandler.cancel_dump_traceback_later()
        await self._database.dispose()
        await self._redis.delete(self._queue)

    async def run(self, key: str) -> None:
        """What arq calls, with the key of a job that this worker has leased.

        For any other it does nothing.

        It returns when the job's function has: the outcome is written meanwhile, and arq has room
        for another job.
        """
        leased = self._ready.pop(key, None)
        if leased is None:
            return
        self._held[key] = leased
        request_id.set(leased.id.hex)
        try:
            if await self._results.claim(leased.key):
                leased.attempt += 1
                await self._perform(key, leased)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await asyncio.shield(self._release([leased]))
            raise
        finally:
            del self._held[key]
            self._finished += 1
            wants_more = not self._ready or self._room() >= self._settings.WORKER_MAX_JOBS // 2
            if (self._more and wants_more) or (self._bursting and not (self._ready or self._held)):
                self._awake.set()

    async def _perform(self, key: str, job: Leased) -> None:
        started = time.perf_counter()
        task = asyncio.create_task(perform(job, self._app, self._settings))
        self._performing[key] = job, task, time.monotonic()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task], timeout=LAST_WORDS)
            if not task.done():
                give_up(job)
            if task.cancelled() or task.exception():
                logger.warning("%s is handed back: this worker stops", job.name)
                raise
            # It had all but finished, so that counts.
        finally:
            del self._performing[key]
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        self._ended[key] = job
        recording = asyncio.create_task(self._record(job, task, milliseconds))
        self._recording.add(recording)
        recording.add_done_callback(lambda _: self._forget(key, recording))

    def _forget(self, key: str, recording: "asyncio.Task[None]") -> None:
        self._recording.discard(recording)
        del self._ended[key]
        if self._bursting and not self._ended:
            self._awake.set()

    async def _record(self, job: Leased, task: "asyncio.Task[None]", milliseconds: float) -> None:
        error: BaseException | None = LeaseLost() if task.cancelled() else task.exception()
        if job.completed:
            outcome = "done" if error is None else "done, though it failed afterwards"
        elif error is None:
            outcome = (
                "done" if await self._results.finish(job.key) else "was another worker's by then"
            )
        elif isinstance(error, LeaseLost):
            outcome = "was left to another worker"
        else:
            words, final = in_words(error)
            dead = await self._results.write(
                lambda connection: leases.fail(connection, job, words, final)
            )
            outcome = "failed and is dead" if dead else "failed and is tried again later"
        log = logger.info if error is None else logger.warning
        seen = None if isinstance(error, LeaseLost) else error
        log(
            "%s %s; it ran %.1f ms, attempt %d",
            job.name,
            outcome,
            milliseconds,
            job.attempt,
            exc_info=seen,
        )

    async def _release(self, held: list[Leased]) -> None:
        if held:
            keys = [leased.key for leased in held]
            await self._results.write(lambda connection: leases.release(connection, keys))

    async def _dispatch(self) -> None:
        swept = -self._settings.WORKER_SWEEP
        while True:
            self._awake.clear()
            if self._stopping.is_set():
                wait = self._settings.WORKER_COMPLETION_WAIT
                logger.info(
                    "Stopping: %d running jobs get up to %d s to finish", len(self._held), wait
                )
                await self._give_back()
                return
            try:
                if time.monotonic() - swept >= self._settings.WORKER_SWEEP:
                    await self._sweep()
                    swept = time.monotonic()
                await self._take()
            except AWAY as error:
                logger.error("Jobs cannot be looked for: %s", error)
                await asyncio.sleep(PAUSE)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.WORKER_SWEEP):
                    await self._awake.wait()

    async def _take(self) -> None:
        room = self._room()
        self._finished = 0
        if room <= 0:
            return
        async with self._database.begin() as connection:
            if self._unsure:
                known = self._ready | self._held | self._ended
                await leases.disown(
                    connection, self._worker, [leased.key for leased in known.values()]
                )
            self._unsure = True  # until the commit is known to have happened
            taken = await leases.take(connection, self._worker, room)
        self._unsure, self._more = False, len(taken) == room
        handed = {f"{leased.id}:{leased.lease}": leased for leased in taken}
        self._ready |= handed
        await self._hand_over(list(handed))
        if self._bursting and not (taken or self._ready or self._held or self._ended):
            await self._redis.zrem(self._queue, SENTINEL)
            self._bursting = False

    def _room(self) -> int:
        # As many ahead as ended since the last look: long jobs do not wait here while other workers
        # are free.
        most = self._settings.WORKER_MAX_JOBS
        return most + min(self._finished, most) - len(self._ready) - len(self._held)

    async def _hand_over(self, keys: list[str], *, again: bool = False) -> None:
        """Put these into arq's queue, as `enqueue_job` does, but all at once.

        Doing it `again` helps when Redis has forgotten them, or when an answer was lost that arq
        needed to start one.
        """
        if not keys:
            return
        started = list(self._held)
        now = timestamp_ms()
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                payload = serialize_job(RUN, (key,), {}, None, now, serializer=serialize)
                pipe.psetex(job_key_prefix + key, HOUR * 1000, payload)
                if again:
                    pipe.delete(in_progress_key_prefix + key)
            pipe.zadd(self._queue, dict.fromkeys(keys, now))
            if started:  # else arq looks at them again and again
                pipe.zrem(self._queue, *started)
            await pipe.execute()

    async def _sweep(self) -> None:
        async with self._database.begin() as connection:
            await leases.recover(connection)
        await schedule.enqueue_due(self._database, self._app.extensions["schedule"])
        await self._hand_over(list(self._ready), again=True)

    async def _give_back(self) -> None:
        handed, self._ready = list(self._ready.values()), {}
        await self._release(handed)

    async def _renew(self) -> None:
        """Keep the leases, and stop what is no longer this worker's.

        Before the lease ends, if that cannot be known.
        """
        lease = self._settings.WORKER_LEASE
        until = time.monotonic() + lease * 5 / 6
        while True:
            await asyncio.sleep(min(lease / 6, max(until - time.monotonic(), 0)))
            asked, held = time.monotonic(), self._ready | self._held | self._ended
            kept: set[Key] = set()
            try:
                if held:
                    async with (
                        asyncio.timeout(max(until - asked, PAUSE)),
                        self._database.begin() as connection,
                    ):
                        kept = await leases.renew(
                            connection, [leased.key for leased in held.values()]
                        )
                until = asked + lease * 5 / 6
            except AWAY as error:
                logger.error("Leases cannot be renewed: %s", error)
                if time.monotonic() < until:
                    continue
                until = time.monotonic() + lease / 6
            for key in [key for key, leased in held.items() if leased.key not in kept]:
                self._ready.pop(key, None)
                if (performing := self._performing.get(key)) and not performing[0].completed:
                    performing[1].cancel()

    async def _listen(self) -> None:
        redis = self._app.extensions["redis"]
        while True:
            try:
                async with redis.pubsub() as messages:
                    await messages.subscribe(CHANNEL)
                    self._awake.set()  # for what was missed meanwhile
                    while True:
                        if await messages.get_message(ignore_subscribe_messages=True, timeout=HOUR):
                            self._awake.set()
            except (RedisError, OSError):
                await asyncio.sleep(PAUSE)

    async def _pulse(self) -> None:
        """End this process when a job holds up the event loop for so long that others may soon take
        over its jobs.

        faulthandler does that from a thread that needs no Python, and shows where the loop hangs.
        """
        told: float | None = None
        while True:
            faulthandler.dump_traceback_later(self._settings.WORKER_LEASE / 2, exit=True, file=2)
            if self._stopping.is_set():
                self._awake.set()
                told = told or time.monotonic()
                wait = self._settings.WORKER_COMPLETION_WAIT if self._held else 0
                if self._main and time.monotonic() - told > wait + LATE:
                    self._main.cancel()  # as arq has, but that may have been lost: see `end`
            for job, _, since in self._performing.values():
                if time.monotonic() - since > time_of(job, self._settings) + LAST_RESORT:
                    give_up(job)
            await asyncio.sleep(PULSE)

    async def _in_context(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            async with self._app.app_context():
                await coroutine
        except Exception:
            # A worker without this would live and do nothing: better another one in its place.
            logger.critical("The worker cannot go on", exc_info=True)
            self.failed = True
            signal.raise_signal(signal.SIGTERM)


def give_up(job: Leased) -> NoReturn:
    """End this process, and with it a job that cannot be stopped otherwise.

    The others' leases soon end.
    """
    logger.critical("%s takes no notice of its end: this worker ends with it", job.name)
    os._exit(1)
