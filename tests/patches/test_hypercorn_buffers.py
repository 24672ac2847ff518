"""What Hypercorn keeps of a response that its client does not read, and of a large frame."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FrameTooLargeError
from h2.frame_buffer import FrameBuffer
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import EventWrapper
from hypercorn.protocol.h2 import StreamBuffer

from app.patches import hypercorn_buffers as patch

CHUNK = 32 * 1024

ORIGINAL = {
    (owner, name): getattr(owner, name)
    for owner, name in (
        (StreamBuffer, "push"),
        (StreamBuffer, "pop"),
        (TCPServer, "__init__"),
        (FrameBuffer, "add_data"),
    )
}


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    yield
    for (owner, name), method in ORIGINAL.items():
        setattr(owner, name, method)


async def stall() -> int:
    """Send chunks to a stream whose window is closed; return how much is buffered."""
    buffer = StreamBuffer(EventWrapper)

    async def respond() -> None:
        for _ in range(20):
            await buffer.push(b"x" * CHUNK)

    responding = asyncio.create_task(respond())
    for _ in range(100):
        await buffer.pop(0)  # what the sending task does again and again
        await asyncio.sleep(0)
    responding.cancel()
    return len(buffer.buffer)


async def test_hypercorn_still_buffers_a_stalled_response_whole() -> None:
    assert await stall() == 20 * CHUNK, "take _push and _pop out of the patch: needed no more"


async def test_a_stalled_response_holds_one_chunk() -> None:
    patch.bound_buffers()
    assert await stall() == CHUNK


async def test_all_of_a_response_arrives_in_order_and_an_ended_one_is_not_waited_for() -> None:
    patch.bound_buffers()
    buffer = StreamBuffer(EventWrapper)
    sent = b"".join(bytes([number]) * 10_000 for number in range(20))

    async def respond() -> None:
        for start in range(0, len(sent), CHUNK):
            await buffer.push(sent[start : start + CHUNK])
        buffer.set_complete()
        await buffer.drain()

    responding, received = asyncio.create_task(respond()), b""
    while not buffer.complete:
        received += await buffer.pop(3_000)
        await asyncio.sleep(0)
    await asyncio.wait_for(responding, 1)
    assert received == sent

    ended = StreamBuffer(EventWrapper)
    waiting = asyncio.create_task(ended.push(b"x" * CHUNK))
    await asyncio.sleep(0)
    assert not waiting.done()
    await ended.close()
    await asyncio.wait_for(waiting, 1)


async def buffered_by_a_connection() -> int:
    """Return up to how many bytes a connection's transport takes without waiting."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nothing: Any = None
        TCPServer(nothing, nothing, nothing, nothing, nothing, reader, writer)
        limits.append(writer.transport.get_write_buffer_limits()[1])
        writer.close()

    limits: list[int] = []
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.read()
        writer.close()
    return limits[0]


async def test_hypercorn_still_leaves_asyncios_limit() -> None:
    assert await buffered_by_a_connection() == 64 * 1024


async def test_a_connection_waits_sooner() -> None:
    patch.bound_buffers()
    assert await buffered_by_a_connection() == patch.HIGH_WATER


HUGE = b"\xff\xff\xff\4\0\0\0\0\0"  # the head of a frame of 16 MB


def receive(data: bytes) -> None:
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    connection.receive_data(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    connection.receive_data(data)


def test_h2_still_waits_for_a_frame_that_is_too_large() -> None:
    receive(HUGE + b"x" * 100_000)


def test_a_frame_that_is_too_large_is_refused_when_it_begins() -> None:
    patch.bound_buffers()
    with pytest.raises(FrameTooLargeError):
        receive(HUGE)
    receive(b"\0\0\x08\6\0\0\0\0\0" + b"x" * 8)  # a ping
