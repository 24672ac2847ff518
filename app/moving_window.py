"""Moving windows of rate limits: counted in Redis by a script, or in this process."""

import hashlib
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

# A window is what the library `limits` makes of it, whose script for a hit does not tell how much
# room is left: a list of the times of its hits, newest first, so the library's functions work on it
# too. Arguments: the time, 1 to count a hit or 0 to look, and for each key its limit and seconds.
# Answers whether all have room, and for each how much, and the seconds until its oldest hit leaves.
SCRIPT = """
local now, hits = tonumber(ARGV[1]), tonumber(ARGV[2])

local function hit_at(key, place)
    return tonumber(redis.call('LINDEX', key, place))
end

local function count(key, limit, since)
    local length = math.min(redis.call('LLEN', key), limit)
    local oldest = length > 0 and hit_at(key, length - 1)
    if not oldest or oldest >= since then
        return length, oldest or now
    end
    local low, high = 0, length - 1
    oldest = now
    while low < high do
        local middle = math.floor((low + high) / 2)
        local hit = hit_at(key, middle)
        if hit >= since then
            low, oldest = middle + 1, hit
        else
            high = middle
        end
    end
    return low, oldest
end

local answer = {1}
for i, key in ipairs(KEYS) do
    local limit, seconds = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
    local counted, oldest = count(key, limit, now - seconds)
    if counted == limit then
        answer[1] = 0
    end
    answer[2 * i] = limit - counted
    answer[2 * i + 1] = math.max(1, math.ceil(seconds - (now - oldest)))
end
if answer[1] == 1 and hits == 1 then
    for i, key in ipairs(KEYS) do
        answer[2 * i] = answer[2 * i] - 1
        local counted = ARGV[2 * i + 1] - answer[2 * i]
        if redis.call('LPUSH', key, ARGV[1]) > counted then
            redis.call('LTRIM', key, 0, counted - 1)
        end
        redis.call('EXPIRE', key, ARGV[2 * i + 2])
    end
end
return answer
"""
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class Window(NamedTuple):
    """One part of a limit, the room that is left, and the seconds until its oldest hit leaves."""

    part: RateLimitItem
    remaining: int
    reset: int


class Count(NamedTuple):
    """Whether there was room in every part of a limit, and how each is now."""

    allowed: bool
    windows: list[Window]


class SharedWindows:
    """Count in Redis, for all processes together."""

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        self._redis = redis
        self._key_prefix = key_prefix

    async def count(
        self, parts: Sequence[RateLimitItem], identifiers: tuple[str, ...], *, hits: int
    ) -> Count:
        """Count a hit in every part if all have room, in one step. Count none if `hits` is 0."""
        arguments = [len(parts), *self._keys(parts, identifiers), repr(time.time()), hits]
        for part in parts:
            arguments += (part.amount, part.get_expiry())
        try:
            answer = await self._redis.execute_command("EVALSHA", SHA, *arguments)  # type: ignore[no-untyped-call]
        except NoScriptError:  # the server was restarted: this has it keep the script, too
            answer = await self._redis.execute_command("EVAL", SCRIPT, *arguments)  # type: ignore[no-untyped-call]
        windows = map(Window, parts, answer[1::2], answer[2::2])
        return Count(bool(answer[0]), list(windows))

    async def clear(self, parts: Sequence[RateLimitItem], identifiers: tuple[str, ...]) -> None:
        """Forget all hits."""
        await self._redis.delete(*self._keys(parts, identifiers))

    def _keys(self, parts: Sequence[RateLimitItem], identifiers: tuple[str, ...]) -> list[str]:
        return [f"{self._key_prefix}:{part.key_for(*identifiers)}" for part in parts]


class LocalWindows:
    """Count in this process alone."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def count(
        self, parts: Sequence[RateLimitItem], identifiers: tuple[str, ...], *, hits: int
    ) -> Count:
        """Count a hit in every part if all have room. Count none if `hits` is 0.

        Of concurrent hits as many pass as have room in every part: those that find the last room of
        a longer window taken have been counted in a shorter one, which soon forgets them.
        """
        full = [part for part in parts if not await self._limiter.test(part, *identifiers)]
        if hits and not full:
            for part in sorted(parts, key=RateLimitItem.get_expiry):
                if not await self._limiter.hit(part, *identifiers):
                    full.append(part)
                    break
        windows = [await self._window(part, identifiers) for part in parts]
        # A part that `test` or `hit` found full may have room again by now.
        windows = [each._replace(remaining=0) if each.part in full else each for each in windows]
        return Count(not full, windows)

    async def clear(self, parts: Sequence[RateLimitItem], identifiers: tuple[str, ...]) -> None:
        """Forget all hits."""
        for part in parts:
            await self._limiter.clear(part, *identifiers)

    async def _window(self, part: RateLimitItem, identifiers: tuple[str, ...]) -> Window:
        stats = await self._limiter.get_window_stats(part, *identifiers)
        return Window(part, stats.remaining, max(1, math.ceil(stats.reset_time - time.time())))
