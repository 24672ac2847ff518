"""A worker's signs of life in Redis: a key of its own, and one shared by all workers."""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.database import utcnow
from app.jobs.workers import KEY_OF_ONE, SHARED_KEY, workers
from app.patches.lost_cancellations import end

logger = logging.getLogger(__name__)


class Heartbeat:
    """Writes a worker's key at an interval, and deletes it when the worker stops."""

    def __init__(self, redis: Redis, name: str, interval: int) -> None:
        self.redis = redis
        self.interval = interval
        self.key = KEY_OF_ONE + name
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Write the key once, then go on in the background."""
        await self._beat()
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Stop, and restore the shared key, which arq has just deleted, if another worker lives."""
        if self._task:
            await end(self._task)
        await self.redis.delete(self.key)
        if await workers(self.redis):
            await self.redis.set(SHARED_KEY, b"another worker lives", ex=self.interval + 1)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self.interval)
            try:
                await self._beat()
            except (RedisError, OSError) as error:
                logger.warning("The sign of life could not be written: %s", error)

    async def _beat(self) -> None:
        # Twice the interval: one late beat does not make a worker dead.
        await self.redis.set(self.key, utcnow().isoformat(timespec="seconds"), ex=2 * self.interval)
