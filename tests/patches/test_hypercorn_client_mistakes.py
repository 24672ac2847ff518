"""What Hypercorn logs when a client sends what it does not expect."""

import asyncio
import logging
import struct
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h2 import H2Protocol

from app.patches import hypercorn_client_mistakes as patch
from tests.patches.connections import serving

Send = Callable[[bytes], Any]

WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def http2(**changes: bytes | None) -> bytes:
    """A request over HTTP/2, whose pseudo headers may be anything or missing."""
    head = {"method": b"GET", "path": b"/", "scheme": b"http", "authority": b"localhost"} | changes
    config = H2Configuration(header_encoding=None, validate_outbound_headers=False)
    client = H2Connection(config)
    client.initiate_connection()
    headers = [(b":" + name.encode(), value) for name, value in head.items() if value is not None]
    client.send_headers(1, headers, end_stream=True)
    return client.data_to_send()


FAULTS = {
    "extensions of a websocket that are not ASCII": WEBSOCKET
    + b"Sec-WebSocket-Extensions: \xff\r\n\r\n",
    "protocols of a websocket that are not ASCII": WEBSOCKET
    + b"Sec-WebSocket-Protocol: \xff\r\n\r\n",
    "a path of HTTP/2 that is not ASCII": http2(path="/é".encode()),
    "a method of HTTP/2 that is not ASCII": http2(method=b"\xc3"),
    "1,500 streams that are named": PREFACE
    + b"".join(struct.pack(">BHBBIIB", 0, 5, 2, 0, 2 * n + 1, 0, 1) for n in range(1500)),
    "a deep tree of streams": PREFACE
    + b"".join(struct.pack(">BHBBIIB", 0, 5, 2, 0, 2 * n + 3, 2 * n + 1, 1) for n in range(990)),
    "CONNECT of HTTP/2 without a path": http2(method=b"CONNECT", path=None, scheme=None),
}

REFUSED = {
    "a preface that is not": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    "a path of HTTP/2 that is empty": http2(path=b""),
    "data on a stream that is not open": PREFACE + b"\0\0\1\0\0\0\0\0\1x",
    "headers that are not HPACK": PREFACE + b"\0\0\4\1\5\0\0\0\1\xff\xff\xff\xff",
    "settings that are not": PREFACE + b"\0\0\3\4\0\0\0\0\0\0\4\xff",
}


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    yield
    TCPServer.run = patch._run  # type: ignore[method-assign]
    H2Protocol.handle = patch._handle  # type: ignore[method-assign]


async def application(scope: Any, receive: Any, send: Any, *rest: Any) -> None:
    """Answer nothing."""


@pytest.fixture
async def send(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Send]:
    """Return a function that sends bytes to Hypercorn, and waits until it closes."""
    caplog.set_level(logging.INFO)

    async def send(raw: bytes) -> None:
        async with server.connection() as (reader, writer), asyncio.timeout(5):
            writer.write(raw)
            await reader.read()

    async with serving(application) as server:
        yield send


@pytest.mark.parametrize("name", FAULTS)
async def test_hypercorn_still_ends_with_a_traceback(
    send: Send, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    await send(FAULTS[name])
    await asyncio.sleep(0.01)
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


@pytest.mark.parametrize("name", FAULTS | REFUSED)
async def test_a_mistake_is_one_line_at_info(
    send: Send, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    patch.log_client_mistakes_as_info()
    await send((FAULTS | REFUSED)[name])
    await asyncio.sleep(0.01)
    [record] = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage().startswith("A client sent what ")
    assert not record.exc_info


async def cut_while_open() -> None:
    """Cancel what serves a connection, as Hypercorn does when its `graceful_timeout` is over."""
    async with serving(application) as server, server.connection():
        await asyncio.sleep(0.01)
        [task] = server.tasks
        task.cancel()
        await asyncio.wait([task])
    await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio looks there")
async def test_python_still_logs_a_connection_that_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    await cut_while_open()
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


async def test_a_connection_that_is_cut_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    patch.log_client_mistakes_as_info()
    await cut_while_open()
    [record] = caplog.records
    assert "was open for longer" in record.getMessage()
    assert not record.exc_info
