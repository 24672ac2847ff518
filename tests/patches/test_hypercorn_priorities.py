"""Clients of HTTP/2 that name, or reset, many streams."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, StreamEnded
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.protocol import h2
from priority.priority import TooManyStreamsError

from app.patches import hypercorn_priorities as patch

MANY = 1200
HEAD = [(":method", "GET"), (":path", "/"), (":scheme", "https"), (":authority", "localhost")]


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    former = h2.H2Protocol._priority_updated
    yield
    h2.H2Protocol._handle_events = patch._handle_events  # type: ignore[method-assign]
    h2.H2Protocol._priority_updated = former  # type: ignore[method-assign]


async def application(scope: Any, receive: Any, send: Any, *rest: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


@asynccontextmanager
async def serving(
    received: list[Event] | None = None,
) -> AsyncIterator[tuple[h2.H2Protocol, H2Connection]]:
    """Run Hypercorn's protocol, and yield it with its client; collect what the client receives."""
    received = [] if received is None else received

    async def send(event: object) -> None:
        if isinstance(event, RawData):
            received.extend(client.receive_data(event.data))

    client = H2Connection(H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    async with TaskGroup(asyncio.get_running_loop()) as tasks:
        app: Any = application
        state: Any = {}
        protocol = h2.H2Protocol(
            app, Config(), WorkerContext(None), tasks, state, True, None, None, send
        )
        await protocol.initiate()
        yield protocol, client
        protocol.closed = True
        await protocol.has_data.set()


async def name_streams() -> None:
    frames = [struct.pack(">BHBBIIB", 0, 5, 2, 0, 1 + 2 * number, 0, 1) for number in range(MANY)]
    async with serving() as (protocol, client):
        await protocol.handle(RawData(client.data_to_send() + b"".join(frames)))


async def reset_streams() -> None:
    async with serving() as (protocol, client):
        for number in range(MANY):
            client.send_headers(1 + 2 * number, HEAD)
            client.reset_stream(1 + 2 * number)
        await protocol.handle(RawData(client.data_to_send()))


@pytest.mark.parametrize("flood", [name_streams, reset_streams])
async def test_hypercorn_still_overflows(flood: Any) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await flood()
    assert caught.group_contains(TooManyStreamsError)


@pytest.mark.parametrize("flood", [name_streams, reset_streams])
async def test_a_flood_is_taken(flood: Any) -> None:
    patch.ignore_priorities()
    await flood()


async def test_requests_are_answered() -> None:
    patch.ignore_priorities()
    received: list[Event] = []
    async with serving(received) as (protocol, client):
        for stream in (1, 3):
            client.send_headers(stream, HEAD, end_stream=True, priority_depends_on=5)
        await protocol.handle(RawData(client.data_to_send()))
        for _ in range(20):
            await asyncio.sleep(0)
    assert {event.stream_id for event in received if isinstance(event, StreamEnded)} == {1, 3}
