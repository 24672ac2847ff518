"""The client of requests, whose commands share one connection."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.config import Config
from app.multiplexed_redis import MultiplexedRedis
from app.redis import request_redis
from tests.servers import start_valkey


@pytest.fixture
async def client(settings: Config) -> AsyncIterator[MultiplexedRedis]:
    made = request_redis(settings)
    yield made
    await made.aclose(close_connection_pool=True)


async def test_every_caller_gets_its_own_answer_over_one_connection(
    client: MultiplexedRedis,
) -> None:
    own = await client.client_id()
    texts = [str(number) * 100 for number in range(500)]
    answers = await asyncio.gather(*(client.execute_command("ECHO", text) for text in texts))
    assert [answer.decode() for answer in answers] == texts
    assert await client.client_id() == own


GET = ("GET", "qb-testing:kind")


async def test_an_error_reaches_the_one_whose_command_it_is(client: MultiplexedRedis) -> None:
    await client.set("qb-testing:kind", "text")
    answers = await asyncio.gather(
        *(client.execute_command(*each) for each in (GET, ("LPUSH", "qb-testing:kind", "1"), GET)),
        return_exceptions=True,
    )
    assert answers[0] == answers[2] == b"text"
    assert isinstance(answers[1], ResponseError)


async def test_who_leaves_early_takes_no_answer_along(client: MultiplexedRedis) -> None:
    await client.ping()
    tasks = [asyncio.create_task(client.execute_command("ECHO", str(n))) for n in range(100)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    for number, answer in enumerate(done):
        if number % 3:
            assert answer == str(number).encode()
        else:
            assert isinstance(answer, asyncio.CancelledError)
    assert await client.execute_command("ECHO", "after") == b"after"


async def test_a_connection_that_the_server_closed_is_replaced(client: MultiplexedRedis) -> None:
    first = await client.client_id()
    other = client.pubsub()  # an own connection
    await other.subscribe("x")
    await client.client_kill_filter(_id=str(first), skipme=False)
    answers = await asyncio.gather(*(client.execute_command("ECHO", str(n)) for n in range(20)))
    assert answers == [str(number).encode() for number in range(20)]
    assert await client.client_id() != first
    await other.aclose()  # type: ignore[no-untyped-call]


async def test_pipelines_and_subscriptions_have_connections_of_their_own(
    client: MultiplexedRedis,
) -> None:
    own = await client.client_id()
    async with client.pipeline(transaction=False) as pipe:
        pipe.client_id()
        pipe.execute_command("ECHO", "x")
        theirs, echoed = await pipe.execute()
    assert theirs != own
    assert echoed == b"x"


async def test_a_frozen_server_costs_the_time_out_and_mixes_up_nothing(
    settings: Config, tmp_path: Path
) -> None:
    server, socket = start_valkey(tmp_path)
    frozen = settings.model_copy(update={"REDIS_URL": f"unix://{socket}", "REDIS_TIMEOUT": 0.3})
    client = request_redis(frozen)
    pid = (await client.info("server"))["process_id"]
    try:
        os.kill(pid, signal.SIGSTOP)
        asked = (client.execute_command("ECHO", str(number)) for number in range(30))
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(answer, RedisTimeoutError | RedisConnectionError)
        os.kill(pid, signal.SIGCONT)
        assert await client.execute_command("ECHO", "after") == b"after"
        server.stop()
        with pytest.raises(RedisConnectionError):
            await client.ping()
    finally:
        await client.aclose(close_connection_pool=True)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        server.stop()


async def test_it_can_be_used_in_one_loop_after_another(settings: Config) -> None:
    client = request_redis(settings)

    async def once() -> object:
        return await client.execute_command("ECHO", "x")

    for _ in range(2):
        assert await asyncio.to_thread(asyncio.run, once()) == b"x"
    assert await once() == b"x"
    await client.aclose(close_connection_pool=True)


async def test_who_blocks_holds_nobody_up(client: MultiplexedRedis) -> None:
    blocking = asyncio.create_task(client.execute_command("BLPOP", "qb-testing:nothing", 1))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    assert await client.execute_command("ECHO", "x") == b"x"
    assert time.monotonic() - started < 0.5
    assert await blocking is None


class BlackHole:
    """A proxy in front of Valkey: connections that are open when it is shut answer no more."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.opened = 0
        self.swallowing: set[int] = set()
        self.delay = 0.0

    async def serve(self, path: Path) -> asyncio.Server:
        return await asyncio.start_unix_server(self.connect, path)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        number = self.opened
        there, back = await asyncio.open_unix_connection(self.socket)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                if number in self.swallowing:
                    continue
                if target is writer and self.delay:
                    await asyncio.sleep(self.delay)
                target.write(data)

        pumps = [asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        writer.close()
        back.close()


@pytest.fixture
async def hole(settings: Config, tmp_path: Path) -> AsyncIterator[tuple[BlackHole, Config]]:
    hole = BlackHole(settings.REDIS_URL.removeprefix("unix://").partition("?")[0])
    server = await hole.serve(tmp_path / "hole.sock")
    url = f"unix://{tmp_path / 'hole.sock'}"
    yield hole, settings.model_copy(update={"REDIS_URL": url, "REDIS_TIMEOUT": 0.3})
    server.close()


async def test_a_connection_that_is_silently_dead_is_given_up_whoever_asks(
    hole: tuple[BlackHole, Config],
) -> None:
    """As rate limits do, whose own time-out ends first."""
    proxy, settings = hole
    client = request_redis(settings)
    assert await client.execute_command("ECHO", "x") == b"x"
    proxy.swallowing = {1}
    for _ in range(10):
        with suppress(TimeoutError, RedisTimeoutError):
            async with asyncio.timeout(0.1):
                await client.execute_command("ECHO", "y")
                break
    else:
        pytest.fail("the dead connection was never given up")
    assert proxy.opened == 2
    await client.aclose(close_connection_pool=True)


async def test_who_runs_out_of_time_takes_no_good_connection_along(
    hole: tuple[BlackHole, Config],
) -> None:
    proxy, settings = hole
    client = request_redis(settings)
    await client.execute_command("ECHO", "before")
    proxy.delay = 0.2

    async def ask(number: int) -> object:
        await asyncio.sleep(number / 50)
        try:
            return await client.execute_command("ECHO", str(number))
        except RedisTimeoutError:
            return None

    answers = await asyncio.gather(*(ask(number) for number in range(100)))
    assert proxy.opened == 1
    for number, answer in enumerate(answers):
        assert answer in (None, str(number).encode())
    assert answers[0] == b"0"
    proxy.delay = 0
    await asyncio.sleep(0.5)
    assert await client.execute_command("ECHO", "after") == b"after"
    await client.aclose(close_connection_pool=True)


async def test_closing_ends_what_waits(hole: tuple[BlackHole, Config]) -> None:
    proxy, settings = hole
    client = request_redis(settings)
    assert await client.execute_command("ECHO", "x") == b"x"
    proxy.swallowing = {1}
    waiting = asyncio.create_task(client.execute_command("ECHO", "x"))
    await asyncio.sleep(0.05)
    await client.aclose(close_connection_pool=True)
    with pytest.raises(RedisConnectionError, match="closed"):
        await waiting
    assert proxy.opened == 1


async def test_a_connection_that_is_being_made_ends_too(hole: tuple[BlackHole, Config]) -> None:
    proxy, settings = hole
    proxy.swallowing = {1}
    client = request_redis(settings)
    waiting = [asyncio.create_task(client.execute_command("ECHO", "x")) for _ in range(3)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    await asyncio.sleep(0.05)
    await client.aclose(close_connection_pool=True)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert all(isinstance(error, RedisConnectionError) for error in ended[1:])


async def test_a_loop_that_stood_still_reads_what_has_arrived(
    settings: Config, client: MultiplexedRedis
) -> None:
    await client.ping()
    asked = [asyncio.create_task(client.execute_command("ECHO", str(n))) for n in range(5)]
    await asyncio.sleep(0)
    time.sleep(settings.REDIS_TIMEOUT + 0.1)
    assert await asyncio.gather(*asked) == [str(number).encode() for number in range(5)]
