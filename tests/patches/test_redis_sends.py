"""Commands to Redis, sent in the caller's own task."""

import asyncio
import sys
from typing import Any

import pytest
from redis.asyncio import Connection, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.config import Config
from app.patches.redis_sends import CLASSES, SendingConnection
from app.validators.redis_url import options


async def tasks_of_one_command(settings: Config, *, patched: bool) -> int:
    """Return how many tasks a command starts."""
    given = options(settings.REDIS_URL)
    kind = given.pop("connection_class", Connection)
    connection = (CLASSES[kind] if patched else kind)(**given, socket_timeout=5)
    await connection.connect()
    started = []
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, coroutine: object, **options: object) -> object:
        started.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)  # type: ignore[arg-type]

    loop.set_task_factory(factory)  # type: ignore[arg-type]
    try:
        await connection.send_command("PING")
        assert await connection.read_response() == b"PONG"
    finally:
        loop.set_task_factory(None)
        await connection.disconnect()
    return len(started)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="fixed in Python 3.12")
async def test_redis_py_still_starts_a_task_for_each_command(settings: Config) -> None:
    assert await tasks_of_one_command(settings, patched=False) == 1, (
        "delete app/patches/redis_sends.py: it is needed no more"
    )


async def test_a_command_starts_no_task(settings: Config) -> None:
    assert await tasks_of_one_command(settings, patched=True) == 0


async def test_a_peer_that_does_not_read_costs_the_time_out_and_nothing_more() -> None:
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await accepted.put(writer)

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection: Any = SendingConnection(
            host="127.0.0.1", port=port, socket_timeout=0.2, lib_name=None, lib_version=None
        )
        await connection.connect()
        transport = connection._writer.transport
        with pytest.raises(RedisTimeoutError):
            await connection.send_command("SET", "x", b"x" * 50_000_000)
        assert not connection.is_connected
        assert transport.get_write_buffer_size() == 0
        peer = await accepted.get()
        peer.close()
        await peer.wait_closed()


async def test_a_server_that_is_not_there_is_a_connection_error() -> None:
    client = Redis(host="127.0.0.1", port=1, socket_timeout=1)
    client.connection_pool.connection_class = CLASSES[Connection]
    with pytest.raises(RedisConnectionError):
        await client.ping()
    await client.aclose()
