"""Limits on how often something may happen, counted in Redis for all processes together."""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable
from typing import cast

from limits import parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from quart import current_app
from redis.asyncio import Redis
from werkzeug.local import LocalProxy

from app.errors import TooMany
from app.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

Question = Callable[..., Awaitable[bool]]

# While Redis is away only one request in this many seconds pays for finding out whether it is back.
RETRY_AFTER = 5.0


class Limits:
    """Counts in Redis by moving windows, atomically; while Redis is away, in this process alone.

    Limits of log-ins so never fall to none: each process goes on counting by itself.
    """

    def __init__(self, redis: Redis, timeout: float) -> None:
        storage = RedisStorage(
            "async+redis://unused:0",  # the pool below knows the way
            implementation="redispy",
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # the library's hint forgets pools
            key_prefix="limits",
        )
        self._shared = MovingWindowRateLimiter(storage)
        self._local = MovingWindowRateLimiter(MemoryStorage())
        # The client has a time-out as well, but for each of several exchanges, and it lets callers
        # wait in a row.
        self._timeout = timeout
        self._away_until = 0.0

    @property
    def is_shared(self) -> bool:
        """Whether Redis answered when it was last asked.

        Else there is no use in asking it anything now.
        """
        return time.monotonic() >= self._away_until

    async def hit(self, name: str, rule: str, *keys: object) -> None:
        """Count one, and raise `TooMany` if that was one too many.

        `rule` is like "5 per 5 minutes"; `name` and `keys` say what is counted, and for whom.
        """
        await self._ask(MovingWindowRateLimiter.hit, name, rule, keys)

    async def require_room(self, name: str, rule: str, *keys: object) -> None:
        """Raise `TooMany` if one more would be one too many, without counting it."""
        await self._ask(MovingWindowRateLimiter.test, name, rule, keys)

    async def clear(self, name: str, rule: str, *keys: object) -> None:
        """Forget what was counted."""
        item, identifiers = parse(rule), (name, *map(str, keys))
        await self._local.clear(item, *identifiers)
        if self.is_shared:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._shared.clear(item, *identifiers)
            except REDIS_AWAY:
                self._away_until = time.monotonic() + RETRY_AFTER

    async def _ask(
        self, question: Question, name: str, rule: str, keys: tuple[object, ...]
    ) -> None:
        item, identifiers = parse(rule), (name, *map(str, keys))
        limiter = self._local
        if self.is_shared:
            try:
                async with asyncio.timeout(self._timeout):
                    passed = await question(self._shared, item, *identifiers)
                limiter = self._shared
            except REDIS_AWAY as error:
                self._away_until = time.monotonic() + RETRY_AFTER
                logger.error(
                    "Redis does not answer (%s): limits are counted in this process alone",
                    error or "in time",
                )
        if limiter is self._local:
            passed = await question(self._local, item, *identifiers)
        if not passed:
            window = await limiter.get_window_stats(item, *identifiers)
            seconds = max(1, round(window.reset_time - time.time()))
            raise TooMany(
                f"That was too often. Try again in {_in_words(seconds)}.", retry_after=seconds
            )


def rate_limit_ip(address: str) -> str:
    """What counts as one address.

    An IPv4 address, or the 64 bits that an IPv6 subscriber is given to choose from.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def _in_words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} seconds"
    return f"{round(seconds / 60)} minutes"


limits = cast(Limits, LocalProxy(lambda: current_app.extensions["limits"]))
