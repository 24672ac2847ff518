"""Waking the workers, so that they need not wait for their next sweep."""

import asyncio
import logging

from quart import Quart, current_app
from redis.asyncio import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

CHANNEL = "jobs:wake"


def wake() -> None:
    """Wake the workers of this installation now."""
    notifier: WorkerNotifier = current_app.extensions["jobs"]
    notifier.notify()


class WorkerNotifier:
    """Wakes the workers through Redis, in the background.

    While Redis is away no request is delayed and no job lost: workers poll anyway. One message is
    sent at a time; all that are asked for while it is on its way become the next one.
    """

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._wanted = self._away = False
        self._sending: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Publish a message soon; returns at once."""
        self._wanted = True
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Wait for the message that is on its way, at most as long as REDIS_TIMEOUT allows."""
        if self._sending is not None:
            await self._sending

    async def _send(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self._redis.publish(self._channel, b"")
                self._away = False
            except (RedisError, OSError) as error:
                if not self._away:
                    logger.warning(
                        "Workers cannot be woken; they find jobs at their next sweep: %s", error
                    )
                self._away = True


def init_app(app: Quart) -> None:
    """Register the notifier of workers."""
    channel = app.extensions["settings"].redis_key(CHANNEL)
    app.extensions["jobs"] = notifier = WorkerNotifier(app.extensions["redis"], channel)
    app.after_serving(notifier.close)
