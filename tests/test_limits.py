"""Rate limits: shared through Redis, and kept by each process without it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from quart import Quart

from app.errors import TooMany
from app.limits import Limits, limits, rate_limit_ip
from tests.conftest import MakeApp


async def passed(counter: Limits, attempts: int, rule: str = "5 per 5 minutes") -> int:
    async def attempt() -> bool:
        try:
            await counter.hit("test", rule, "somebody")
        except TooMany:
            return False
        return True

    return sum(await asyncio.gather(*(attempt() for _ in range(attempts))))


async def test_of_forty_at_once_five_pass_over_two_processes(make_app: MakeApp, app: Quart) -> None:
    other = make_app().extensions["limits"]
    assert sum(await asyncio.gather(passed(app.extensions["limits"], 20), passed(other, 20))) == 5


async def test_it_says_when_to_try_again(app: Quart) -> None:
    await passed(app.extensions["limits"], 5)
    with pytest.raises(TooMany) as raised:
        await limits.hit("test", "5 per 5 minutes", "somebody")
    assert raised.value.retry_after is not None
    assert 290 <= raised.value.retry_after <= 300
    assert "5 minutes" in raised.value.message


async def test_what_is_counted_for_one_is_not_counted_for_another(app: Quart) -> None:
    await passed(app.extensions["limits"], 5)
    await limits.hit("test", "5 per 5 minutes", "somebody else")
    await limits.hit("another", "5 per 5 minutes", "somebody")


@pytest.fixture(params=["shared", "local"])
async def counter(
    request: pytest.FixtureRequest, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Limits]:
    """Count in Redis, or without it in this process."""
    if request.param == "local":
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    app = make_app()
    yield app.extensions["limits"]
    if request.param == "shared":
        await app.extensions["redis"].flushdb()


BOTH = "3/second;5/hour"


@pytest.mark.faults
@pytest.mark.waits
async def test_every_part_of_a_rule_applies(counter: Limits) -> None:
    assert await passed(counter, 10, BOTH) == 3
    await asyncio.sleep(1.1)
    assert await passed(counter, 10, BOTH) == 2
    with pytest.raises(TooMany) as raised:
        await counter.require_room("test", BOTH, "somebody")
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 3500, "the fullest part says when"
    await counter.clear("test", BOTH, "somebody")
    assert await passed(counter, 10, BOTH) == 3


async def test_a_refused_hit_counts_in_no_part(counter: Limits) -> None:
    for _ in range(10):
        await passed(counter, 1, BOTH)  # one after another
    await asyncio.sleep(1.1)
    assert await passed(counter, 1, BOTH) == 1, "seven refused hits took nothing of the hour"


@pytest.mark.faults
@pytest.mark.waits
async def test_a_hit_that_the_longer_part_refuses_counts_in_no_shorter_one(counter: Limits) -> None:
    # The parts are counted under the same keys as a rule of one part.
    assert await passed(counter, 2, "2 per 4 seconds;3/hour") == 2
    assert await passed(counter, 1, "3/hour") == 1
    await asyncio.sleep(4.1)
    for _ in range(5):
        assert await passed(counter, 1, "2 per 4 seconds;3/hour") == 0
    assert await passed(counter, 5, "2 per 4 seconds") == 2


async def test_the_order_of_the_parts_does_not_matter(counter: Limits) -> None:
    assert await passed(counter, 10, "5/hour;3/second") == 3
    with pytest.raises(TooMany):
        await counter.require_room("test", "5/hour;3/second", "somebody")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_an_ipv6_subscriber_is_one_peer(one: str, other: str, same: bool) -> None:
    assert (rate_limit_ip(one) == rate_limit_ip(other)) is same


async def test_without_redis_each_process_goes_on_counting(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path / 'nobody'}")
    alone = make_app().extensions["limits"]
    assert await passed(alone, 20) == 5


@pytest.mark.faults
@pytest.mark.waits
async def test_a_redis_that_hangs_costs_one_wait_and_not_one_each(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(never_answer, tmp_path / "frozen.sock")
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path / 'frozen.sock'}")
    app = make_app()
    started = time.monotonic()
    for _ in range(10):
        await app.extensions["limits"].hit("test", "100/minute", "somebody")
    waited = time.monotonic() - started
    timeout = app.config["REDIS_TIMEOUT"]
    assert timeout * 0.9 < waited < timeout * 4
    await app.extensions["redis"].aclose(close_connection_pool=True)
    server.close()
