"""What Hypercorn does for a client that has gone."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, RawData

from app.patches import hypercorn_gone_clients as patch
from tests.patches.connections import serving

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    yield
    TCPServer.protocol_send = patch._send  # type: ignore[method-assign]
    TCPServer._read_data = patch._read  # type: ignore[method-assign]


class Gone:
    """A writer whose client has gone, and a protocol that may be told so."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.told: list[object] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def drain(self) -> None:
        """Raise nothing, as over TLS."""

    def is_closing(self) -> bool:
        return True

    async def handle(self, event: object) -> None:
        self.told.append(event)


async def send_to_a_client_that_has_gone() -> Gone:
    gone = Gone()
    writer: Any = gone
    nothing: Any = None
    server = TCPServer(nothing, nothing, nothing, nothing, nothing, nothing, writer)
    server.protocol = writer
    await server.protocol_send(RawData(b"a piece"))
    return gone


async def test_hypercorn_still_sends_to_a_client_that_has_gone() -> None:
    assert (await send_to_a_client_that_has_gone()).written == [b"a piece"]


async def test_a_response_ends_when_its_client_has_gone() -> None:
    patch.let_clients_go()
    gone = await send_to_a_client_that_has_gone()
    assert gone.written == []
    assert [type(event) for event in gone.told] == [Closed]


async def answer(scope: Any, receive: Any, send: Any, *rest: Any) -> None:
    """Answer after the client has closed its side."""
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def is_closed_at_once(sent: bytes) -> bool:
    """Send something, close one's side, and tell whether Hypercorn closes before the timeout."""
    async with (
        serving(answer, keep_alive_timeout=30) as server,
        server.connection() as (reader, writer),
    ):
        writer.write(sent)
        writer.write_eof()
        try:
            async with asyncio.timeout(1):
                await reader.read()
        except TimeoutError:
            return False
        return True


@pytest.mark.parametrize("sent", [b"", REQUEST])
async def test_hypercorn_still_waits_for_a_client_that_has_closed(sent: bytes) -> None:
    assert not await is_closed_at_once(sent)


@pytest.mark.parametrize("sent", [b"", REQUEST])
async def test_a_connection_ends_with_its_client(sent: bytes) -> None:
    patch.let_clients_go()
    assert await is_closed_at_once(sent)
