"""A worker's heartbeat in Redis, and what the heartbeats of others reveal."""

import asyncio
import contextlib
import logging

from redis.asyncio import Redis

from app.away import REDIS_AWAY
from app.config import Config
from app.jobs.engine.outages import Outage
from app.jobs.workers import SHARED_KEY, of_others, remove, workers, write
from app.patches.lost_cancellations import end

logger = logging.getLogger(__name__)

# The most seconds between two beats, so that a Redis that was emptied soon knows its workers again.
BEAT = 3


class Heartbeat:
    """Writes a worker's key at an interval, and deletes it when the worker stops."""

    def __init__(self, redis: Redis, settings: Config, name: str, database: str) -> None:
        self.redis = redis
        self.settings = settings
        self.name = name
        self.database = database
        self._warned = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Write the key once, then go on in the background."""
        await self._beat()
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Stop; the shared key, which arq has just deleted, stays if another worker lives."""
        if self._task:
            await end(self._task)
        with contextlib.suppress(*REDIS_AWAY):  # then the keys expire
            await self._leave()

    async def _leave(self) -> None:
        await remove(self.redis, self.settings, self.name)
        if self.database in (await workers(self.redis, self.settings)).values():
            await self._share()
        else:  # a beat may have restored it
            await self.redis.delete(self.settings.redis_key(SHARED_KEY))

    async def _share(self) -> None:
        """Write the shared key unless it is there, as arq does less often than this beats."""
        key = self.settings.redis_key(SHARED_KEY)
        seconds = self.settings.WORKER_HEALTH_INTERVAL + 1
        await self.redis.set(key, b"a worker lives", ex=seconds, nx=True)

    async def _go_on(self) -> None:
        outage = Outage("Heartbeats cannot be written")
        while True:
            await asyncio.sleep(min(self.settings.WORKER_HEALTH_INTERVAL, BEAT))
            try:
                await self._beat()
            except REDIS_AWAY as error:
                outage.goes_on(error)
            else:
                outage.is_over()

    async def _beat(self) -> None:
        # Twice the interval: one late beat does not make a worker dead.
        seconds = 2 * self.settings.WORKER_HEALTH_INTERVAL
        await write(self.redis, self.settings, self.name, self.database, seconds)
        await self._share()
        alive = await workers(self.redis, self.settings, prune=True)
        others = of_others(alive, self.database)
        if others and not self._warned:
            logger.error(
                "Workers on another database use the same keys in Redis: %s. Two installations "
                "share REDIS_PREFIX=%s: change it in one of them.",
                ", ".join(others),
                self.settings.REDIS_PREFIX,
            )
        self._warned = bool(others)
