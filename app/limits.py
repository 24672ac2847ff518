"""Rate limits, counted in Redis for all processes together."""

import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

from limits import RateLimitItem
from quart import current_app
from redis.asyncio import Redis
from werkzeug.local import LocalProxy

from app.away import REDIS_AWAY
from app.durations import in_words
from app.errors import TooMany
from app.moving_window import Count, LocalWindows, SharedWindows, Window
from app.validators.rate_rules import rate_rules

logger = logging.getLogger(__name__)

# The ip of a request whose proxy does not say it: `app.web.middleware.proxies` logs what to set.
UNKNOWN_IP = ""
# All clients without a known ip count as one, so they get so many times as much.
UNKNOWN_IP_FACTOR = 20

# Seconds. While Redis is away, at most one request in this time waits to see if it is back.
RETRY_AFTER = 5.0

# Is told how each part of a limit is after a hit.
Report = Callable[[Sequence[Window]], None]


class Limits:
    """Count atomically in moving windows in Redis; in this process alone while Redis is away.

    So log-ins are never without a limit: without Redis each process applies it separately.
    """

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        self._shared = SharedWindows(redis, key_prefix)
        self._local = LocalWindows()
        self._away_until = 0.0

    @property
    def is_shared(self) -> bool:
        """Whether Redis answered when last asked. Otherwise do not ask it anything now."""
        return time.monotonic() >= self._away_until

    async def hit(
        self,
        name: str,
        rule: str,
        *keys: object,
        what: str = "",
        shared: str = "",
        report: Report | None = None,
    ) -> None:
        """Count one hit. Raises `TooMany` if it exceeds the limit; then it counts for nothing.

        `rule` is written like "5 per 5 minutes"; each part of "10/minute;100/hour" applies. `name`
        says what is counted, `keys` for whom. `what` names it in the error, in the plural; for a
        limit that is shared by all who have one ip, `shared` does: the error then says so. `report`
        is called with how each part is now, before the error.
        """
        count = await self._count(_parts(rule, keys), (name, *map(str, keys)), hits=1)
        if report:
            report(count.windows)
        if not count.allowed:
            seconds = _wait(count)
            raise TooMany(_refusal(what, shared, seconds), retry_after=seconds)

    async def require_room(self, name: str, rule: str, *keys: object) -> None:
        """Raise `TooMany` if another hit would exceed the limit, without counting one."""
        count = await self._count(_parts(rule, keys), (name, *map(str, keys)), hits=0)
        if not count.allowed:
            seconds = _wait(count)
            raise TooMany(_refusal("", "", seconds), retry_after=seconds)

    async def clear(self, name: str, rule: str, *keys: object) -> None:
        """Reset the count."""
        parts, identifiers = _parts(rule, keys), (name, *map(str, keys))
        await self._local.clear(parts, identifiers)
        if self.is_shared:
            try:
                await self._shared.clear(parts, identifiers)
            except REDIS_AWAY:
                self._away_until = time.monotonic() + RETRY_AFTER

    async def _count(
        self, parts: Sequence[RateLimitItem], identifiers: tuple[str, ...], *, hits: int
    ) -> Count:
        if self.is_shared:
            try:
                return await self._shared.count(parts, identifiers, hits=hits)
            except REDIS_AWAY as error:
                self._away_until = time.monotonic() + RETRY_AFTER
                logger.error(
                    "Redis does not answer (%s): each process counts rate limits by itself",
                    error or "in time",
                )
        return await self._local.count(parts, identifiers, hits=hits)


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


def _parts(rule: str, keys: tuple[object, ...]) -> Sequence[RateLimitItem]:
    """Return the parts of a rule, for clients without a known ip with more room."""
    if UNKNOWN_IP not in keys:
        return rate_rules(rule)
    return [
        type(part)(part.amount * UNKNOWN_IP_FACTOR, part.multiples, part.namespace)
        for part in rate_rules(rule)
    ]


def _wait(count: Count) -> int:
    """Return the seconds until all parts have room again, at least one."""
    return max((each.reset for each in count.windows if not each.remaining), default=1)


def _refusal(what: str, shared: str, seconds: int) -> str:
    wait = f"Try again in {in_words(seconds)}"
    if not shared:
        return f"Too many {what}. {wait}." if what else f"That was too often. {wait}."
    return (
        f"Too many {shared} from your network: everybody who shares your internet connection "
        f"counts together. {wait}, or use another connection."
    )


limits = cast(Limits, LocalProxy(lambda: current_app.extensions["limits"]))
