"""The windows of rate limits: what each hit leaves, against a model, and in the library's eyes."""

import math
import time
from collections.abc import AsyncIterator
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from quart import Quart
from redis.asyncio import Redis

from app.errors import TooMany
from app.limits import Limits
from app.moving_window import SHA, LocalWindows, SharedWindows, Window
from app.redis import redis
from app.validators.rate_rules import rate_rules
from tests.conftest import MakeApp

PREFIX = "qb-testing:limits"

Left = list[tuple[int, int]]  # of each part: how many hits remain, and the seconds to the reset


class Clock:
    """The time of day, which a test moves by parts of a second that binary fractions can say."""

    def __init__(self) -> None:
        self.now = float(round(time.time()))

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock that stands still in the place of time's."""
    clock = Clock()
    for module in ("app.moving_window", "limits.aio.storage.memory"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(time=clock.time))
    return clock


@pytest.fixture(params=["shared", "local"])
async def windows(
    request: pytest.FixtureRequest, make_app: MakeApp
) -> AsyncIterator[SharedWindows | LocalWindows]:
    """Count in Redis, or in this process."""
    if request.param == "local":
        yield LocalWindows()
        return
    server: Redis = make_app().extensions["redis"]
    yield SharedWindows(server, PREFIX)
    await server.flushdb()


class Model:
    """All hits that counted, looked through from the first to the last each time."""

    def __init__(self, rule: str) -> None:
        self.parts = rate_rules(rule)
        self.hits: list[float] = []

    def count(self, now: float) -> tuple[bool, Left]:
        allowed = all(room for room, _ in self.left(now))
        if allowed:
            self.hits.append(now)
        return allowed, self.left(now)

    def left(self, now: float) -> Left:
        found = []
        for part in self.parts:
            recent = [hit for hit in self.hits if hit >= now - part.get_expiry()]
            oldest = min(recent, default=now)
            reset = math.ceil(oldest + part.get_expiry() - now)
            found.append((part.amount - len(recent), max(1, reset)))
        return found


def left(windows: list[Window]) -> Left:
    return [(window.remaining, window.reset) for window in windows]


@pytest.mark.parametrize("rule", ["1/second", "7/minute", "7/minute;20 per 5 minutes", "40/hour"])
async def test_every_hit_leaves_what_the_hits_before_it_allow(
    windows: SharedWindows | LocalWindows, clock: Clock, rule: str
) -> None:
    model, random = Model(rule), Random(rule)
    # When a hit is as old as the window, the library's parts that count here disagree about it.
    more = isinstance(windows, LocalWindows)
    answers = set()
    for _ in range(300):
        clock.now += random.choice([0, 0, 0.25, 1, 3.5, 20, 61.5]) + more * random.random() / 1024
        counted = await windows.count(model.parts, ("test", "somebody"), hits=1)
        assert (counted.allowed, left(counted.windows)) == model.count(clock.now)
        answers.add(counted.allowed)
    assert answers == {True, False}


async def test_looking_counts_nothing(windows: SharedWindows | LocalWindows, clock: Clock) -> None:
    parts = rate_rules("2/minute")
    for room in (2, 1, 0):
        for _ in range(3):
            looked = await windows.count(parts, ("test", "somebody"), hits=0)
            assert looked.windows[0].remaining == room
            assert looked.allowed is bool(room)
        await windows.count(parts, ("test", "somebody"), hits=1)


async def test_the_librarys_own_functions_work_on_the_windows(app: Quart, clock: Clock) -> None:
    """A release that counts with the library may run beside this one."""
    storage = RedisStorage(
        "async+redis://unused:0",
        implementation="redispy",
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # its hint forgets pools
        key_prefix=PREFIX,
    )
    theirs, ours = MovingWindowRateLimiter(storage), SharedWindows(redis, PREFIX)
    [part], who = rate_rules("4/minute"), ("test", "somebody")
    began = time.time()
    clock.now = began
    await ours.count([part], who, hits=1)
    assert await theirs.hit(part, *who)
    assert left((await ours.count([part], who, hits=1)).windows) == [(1, 60)]
    stats = await theirs.get_window_stats(part, *who)
    assert stats.remaining == 1
    assert stats.reset_time == pytest.approx(began + 60, abs=0.01)
    assert await theirs.test(part, *who)
    await ours.count([part], who, hits=1)
    assert not await theirs.test(part, *who)
    assert not await theirs.hit(part, *who)
    assert not (await ours.count([part], who, hits=1)).allowed
    await theirs.clear(part, *who)
    assert (await ours.count([part], who, hits=1)).windows[0].remaining == 3
    await ours.clear([part], who)
    assert (await theirs.get_window_stats(part, *who)).remaining == 4


async def test_a_script_that_the_server_has_forgotten_is_sent_once_more(app: Quart) -> None:
    ours, [part], who = SharedWindows(redis, PREFIX), rate_rules("5/minute"), ("test", "somebody")
    rooms = []
    for _ in range(3):
        await redis.script_flush()
        rooms.append((await ours.count([part], who, hits=1)).windows[0].remaining)
    assert rooms == [4, 3, 2], "each hit counted, once, in Redis"
    assert await redis.script_exists(SHA) == [True]


async def test_hits_are_forgotten_by_redis_after_the_window(app: Quart) -> None:
    ours, parts = SharedWindows(redis, PREFIX), rate_rules("2/minute;5/hour")
    for _ in range(4):
        await ours.count(parts, ("test", "somebody"), hits=1)
    found = {}
    async for key in redis.scan_iter():
        found[await redis.llen(key)] = await redis.ttl(key)  # type: ignore[misc]  # redis' hint
    assert len(found) == 1, "both lists have two entries: the refused hits are in none"
    assert 0 < found[2] <= 3600


async def test_a_hit_tells_how_each_part_is_before_it_is_refused(app: Quart, clock: Clock) -> None:
    counter = cast(Limits, app.extensions["limits"])
    told: list[Left] = []
    for _ in range(3):
        await counter.hit(
            "test", "3/minute;5/hour", "somebody", report=lambda w: told.append(left([*w]))
        )
        clock.now += 10
    with pytest.raises(TooMany) as raised:
        await counter.hit(
            "test", "3/minute;5/hour", "somebody", report=lambda w: told.append(left([*w]))
        )
    assert told == [
        [(2, 60), (4, 3600)],
        [(1, 50), (3, 3590)],
        [(0, 40), (2, 3580)],
        [(0, 30), (2, 3570)],
    ]
    assert raised.value.retry_after == 30, "the full part says when"
