"""Rate limits, counted in Redis for all processes together."""

import ipaddress
import logging
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import MovingWindowRateLimiter
from quart import current_app
from redis.asyncio import Redis
from redis.exceptions import NoScriptError
from werkzeug.local import LocalProxy

from app.away import REDIS_AWAY
from app.durations import in_words
from app.errors import TooMany
from app.validators.rate_rules import rate_rules

logger = logging.getLogger(__name__)

# The ip of a request whose proxy does not say it: `app.web.middleware.proxies` logs what to set.
UNKNOWN_IP = ""
# All clients without a known ip count as one, so they get so many times as much.
UNKNOWN_IP_FACTOR = 20

# Seconds. While Redis is away, at most one request in this time waits to see if it is back.
RETRY_AFTER = 5.0


class DirectRateLimiter(MovingWindowRateLimiter):
    """The library's limiter, which hands its script to Redis without the layers in between.

    Those take as long as the rest, and every request counts at least one hit.
    """

    def __init__(self, storage: RedisStorage, redis: Redis, bridge: RedispyBridge) -> None:
        super().__init__(storage)
        self._redis = redis
        self._bridge = bridge

    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Count a hit if there is room for it; return whether there was."""
        script = self._bridge.lua_acquire_moving_window.sha
        key = self._bridge.prefixed_key(item.key_for(*identifiers))
        window = (time.time(), item.amount, item.get_expiry(), cost)
        try:
            arguments = ("EVALSHA", script, 1, key, *window)
            return bool(await self._redis.execute_command(*arguments))  # type: ignore[no-untyped-call]
        except NoScriptError:  # the server was restarted: this loads the script
            return await super().hit(item, *identifiers, cost=cost)


class Limits:
    """Count atomically in moving windows in Redis; in this process alone while Redis is away.

    So log-ins are never without a limit: without Redis each process applies it separately.
    """

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        storage = RedisStorage(
            "async+redis://unused:0",  # the pool below holds the address
            implementation="redispy",
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # the library's hint forgets pools
            key_prefix=key_prefix,
        )
        bridge = cast(RedispyBridge, storage.bridge)
        bridge.storage = redis  # rather than a client that it makes of the pool
        bridge.register_scripts()
        self._shared = DirectRateLimiter(storage, redis, bridge)
        self._local = MovingWindowRateLimiter(MemoryStorage())
        self._away_until = 0.0

    @property
    def is_shared(self) -> bool:
        """Whether Redis answered when last asked. Otherwise do not ask it anything now."""
        return time.monotonic() >= self._away_until

    async def hit(
        self, name: str, rule: str, *keys: object, what: str = "", shared: str = ""
    ) -> None:
        """Count one hit. Raises `TooMany` if it exceeds the limit; then it counts for nothing.

        `rule` is written like "5 per 5 minutes"; each part of "10/minute;100/hour" applies. `name`
        says what is counted, `keys` for whom. `what` names it in the error, in the plural; for a
        limit that is shared by all who have one ip, `shared` does: the error then says so.
        """
        await self._ask(name, rule, keys, count=True, what=what, shared=shared)

    async def require_room(self, name: str, rule: str, *keys: object) -> None:
        """Raise `TooMany` if another hit would exceed the limit, without counting one."""
        await self._ask(name, rule, keys, count=False)

    async def clear(self, name: str, rule: str, *keys: object) -> None:
        """Reset the count."""
        items, identifiers = _items(rule, keys), (name, *map(str, keys))
        for item in items:
            await self._local.clear(item, *identifiers)
        if self.is_shared:
            try:
                for item in items:
                    await self._shared.clear(item, *identifiers)
            except REDIS_AWAY:
                self._away_until = time.monotonic() + RETRY_AFTER

    async def _ask(
        self,
        name: str,
        rule: str,
        keys: tuple[object, ...],
        *,
        count: bool,
        what: str = "",
        shared: str = "",
    ) -> None:
        items, identifiers = _items(rule, keys), (name, *map(str, keys))
        answered = False
        if self.is_shared:
            try:
                full = await _full(self._shared, items, identifiers, count=count)
                seconds = await _wait(self._shared, full, identifiers) if full else 0
                answered = True
            except REDIS_AWAY as error:
                self._away_until = time.monotonic() + RETRY_AFTER
                logger.error(
                    "Redis does not answer (%s): each process counts rate limits by itself",
                    error or "in time",
                )
        if not answered:
            full = await _full(self._local, items, identifiers, count=count)
            seconds = await _wait(self._local, full, identifiers) if full else 0
        if full:
            raise TooMany(_refusal(what, shared, seconds), retry_after=seconds)


async def _full(
    limiter: MovingWindowRateLimiter,
    items: Sequence[RateLimitItem],
    identifiers: tuple[str, ...],
    *,
    count: bool,
) -> list[RateLimitItem]:
    """Return limits that have no room for another hit; if there are none, count one in each.

    Only `hit` decides and counts in one step. So of concurrent hits as many pass as have room in
    every limit, and those that find the last room of a longer window taken have been counted in a
    shorter one, which soon forgets them.
    """
    if len(items) > 1 or not count:
        full = [item for item in items if not await limiter.test(item, *identifiers)]
        if full or not count:
            return full
    for item in sorted(items, key=RateLimitItem.get_expiry):
        if not await limiter.hit(item, *identifiers):
            return [item]
    return []


async def _wait(
    limiter: MovingWindowRateLimiter, full: Sequence[RateLimitItem], identifiers: tuple[str, ...]
) -> int:
    """Return the seconds until all of these limits have room again, at least one."""
    windows = [await limiter.get_window_stats(item, *identifiers) for item in full]
    latest = max(window.reset_time for window in windows)
    return max(1, round(latest - time.time()))


@lru_cache(maxsize=4096)
def rate_limit_ip(address: str) -> str:
    """Return what counts as one client ip: an IPv4 address, or the /64 of an IPv6 address.

    An IPv6 subscriber may choose any address in a /64.
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


def _items(rule: str, keys: tuple[object, ...]) -> Sequence[RateLimitItem]:
    """Return the parts of a rule, for clients without a known ip with more room."""
    if UNKNOWN_IP not in keys:
        return rate_rules(rule)
    return [
        type(item)(item.amount * UNKNOWN_IP_FACTOR, item.multiples, item.namespace)
        for item in rate_rules(rule)
    ]


def _refusal(what: str, shared: str, seconds: int) -> str:
    wait = f"Try again in {in_words(seconds)}"
    if not shared:
        return f"Too many {what}. {wait}." if what else f"That was too often. {wait}."
    return (
        f"Too many {shared} from your network: everybody who shares your internet connection "
        f"counts together. {wait}, or use another connection."
    )


limits = cast(Limits, LocalProxy(lambda: current_app.extensions["limits"]))
