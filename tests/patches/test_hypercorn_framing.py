"""Requests whose end a proxy may see elsewhere than Hypercorn does."""

from typing import Any

import h11
import pytest
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.protocol import h11 as hypercorn_h11

from app.patches.hypercorn_framing import StrictConnection, StrictProtocol

CHUNKED = b"Transfer-Encoding: chunked\r\n"
LENGTH = b"Content-Length: 3\r\n"
BODY = b"3\r\na=1\r\n0\r\n\r\n"


def post(headers: bytes, body: bytes = BODY, version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\nHost: localhost\r\n" + headers + b"\r\n" + body


def get(headers: bytes = b"Host: localhost\r\n", version: bytes = b"1.1") -> bytes:
    return b"GET / HTTP/" + version + b"\r\n" + headers + b"\r\n"


# What h11 accepts although it is ambiguous, and the status that it is answered with.
FAULTS: dict[str, tuple[bytes, int]] = {
    "Transfer-Encoding and Content-Length": (post(CHUNKED + LENGTH), 400),
    "Content-Length and Transfer-Encoding": (post(LENGTH + CHUNKED), 400),
    "both in other letters": (post(b"CONTENT-LENGTH: 3\r\ntransfer-encoding: CHUNKED\r\n"), 400),
    "Transfer-Encoding in HTTP/1.0": (post(CHUNKED, version=b"1.0"), 400),
    "a folded line": (get(b"Host: localhost\r\nX: y\r\n Z: w\r\n"), 400),
    "a folded line with a tab": (get(b"Host: localhost\r\nX: y\r\n\tZ: w\r\n"), 400),
    "a value on a folded line": (post(b"Transfer-Encoding:\r\n chunked\r\n"), 400),
    "LF alone": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    "LF alone after a header": (get(b"Host: localhost\r\nX: y\nZ: w\r\n"), 400),
    "LF alone at the end": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\n", 400),
    "LF alone after trailers": (post(CHUNKED, b"3\r\na=1\r\n0\r\nX: y\n\r\n"), 400),
    "LF alone instead of trailers": (post(CHUNKED, b"3\r\na=1\r\n0\r\n\n"), 400),
    "CR in a chunk's extension": (post(CHUNKED, b"3;\rx\r\na=1\r\n0\r\n\r\n"), 400),
    "a blank after a chunk's size": (post(CHUNKED, b"3 \r\na=1\r\n0\r\n\r\n"), 400),
    "HTTP/0.9": (get(version=b"0.9"), 505),
    "HTTP/1.2": (get(version=b"1.2"), 505),
    "HTTP/2.0": (get(version=b"2.0"), 505),
    "HTTP/2 in plain text": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a Host that is none": (get(b"Host: a b\r\n"), 400),
    "a Host with a path": (get(b"Host: localhost/x\r\n"), 400),
}

# What h11 refuses already.
REFUSED = {
    "two lengths": post(LENGTH + b"Content-Length: 4\r\n", b"a=1"),
    "two lengths in a list": post(b"Content-Length: 3, 4\r\n", b"a=1"),
    "a length with a sign": post(b"Content-Length: +3\r\n", b"a=1"),
    "a negative length": post(b"Content-Length: -3\r\n", b"a=1"),
    "a length with an underscore": post(b"Content-Length: 0_3\r\n", b"a=1"),
    "a hexadecimal length": post(b"Content-Length: 0x3\r\n", b"a=1"),
    "an empty length": post(b"Content-Length: \r\n", b"a=1"),
    "digits of another script": post("Content-Length: ٣\r\n".encode(), b"a=1"),
    "identity, chunked": post(b"Transfer-Encoding: identity, chunked\r\n"),
    "chunked, identity": post(b"Transfer-Encoding: chunked, identity\r\n"),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked\r\n"),
    "identity": post(b"Transfer-Encoding: identity\r\n"),
    "chunked twice": post(CHUNKED + CHUNKED),
    "chunked with a parameter": post(b"Transfer-Encoding: chunked;q=1\r\n"),
    "chunked after a control character": post(b"Transfer-Encoding: \x0bchunked\r\n"),
    "an empty coding": post(b"Transfer-Encoding: \r\n" + LENGTH, b"a=1"),
    "a blank before the colon": post(b"Transfer-Encoding : chunked\r\n"),
    "a tab before the colon": post(b"Content-Length\t: 3\r\n", b"a=1"),
    "a folded first line": get(b" X: y\r\nHost: localhost\r\n"),
    "CR alone": get(b"Host: localhost\r\nX: y\rZ: w\r\n"),
    "NUL": get(b"Host: localhost\r\nX: a\0b\r\n"),
    "LF alone after a chunk's size": post(CHUNKED, b"3\na=1\r\n0\r\n\r\n"),
    "LF alone after a chunk": post(CHUNKED, b"3\r\na=1\n0\r\n\r\n"),
    "LF in a chunk's extension": post(CHUNKED, b"3;\nx\r\na=1\r\n0\r\n\r\n"),
    "a chunk's size with a sign": post(CHUNKED, b"+3\r\na=1\r\n0\r\n\r\n"),
    "a chunk's size with 0x": post(CHUNKED, b"0x3\r\na=1\r\n0\r\n\r\n"),
    "a chunk's size with an underscore": post(CHUNKED, b"0_3\r\na=1\r\n0\r\n\r\n"),
    "no Host": get(b""),
    "two Hosts": get(b"Host: a\r\nHost: b\r\n"),
    "no version": b"GET /\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}

# What is well formed, or has one meaning by RFC 9110 (8.6) and 9112 (7.1).
TAKEN = {
    "a length": post(LENGTH, b"a=1"),
    "one length, said twice": post(LENGTH + LENGTH, b"a=1"),
    "a length with a zero in front": post(b"Content-Length: 03\r\n", b"a=1"),
    "chunked": post(CHUNKED),
    "chunked in capitals": post(b"Transfer-Encoding: CHUNKED\r\n"),
    "a chunk's extension": post(CHUNKED, b"3;x=y\r\na=1\r\n0\r\n\r\n"),
    "trailers": post(CHUNKED, b"3\r\na=1\r\n0\r\nContent-Length: 9\r\n\r\n"),
    "a body with LF and blanks": post(b"Content-Length: 9\r\n", b"\n a\n\n\t\nb "),
    "a port": get(b"Host: localhost:8000\r\n"),
    "IPv6": get(b"Host: [::1]:8000\r\n"),
    "HTTP/1.0 without Host": get(b"", b"1.0"),
}


def read(connection: h11.Connection, raw: bytes, step: int) -> list[object]:
    """Receive a request, `step` bytes at a time; return all events up to its end."""
    events: list[object] = []
    for start in range(0, len(raw), step):
        connection.receive_data(raw[start : start + step])
        while True:
            event = connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                break
            events.append(event)
    return events


def strict() -> StrictConnection:
    return StrictConnection(100_000)


@pytest.mark.parametrize("name", FAULTS)
def test_h11_still_accepts(name: str) -> None:
    events = read(h11.Connection(h11.SERVER), FAULTS[name][0], 10_000)
    assert isinstance(events[0], h11.Request), "it is refused now: take it out of the patch"


@pytest.mark.parametrize("step", [10_000, 1])
@pytest.mark.parametrize("name", FAULTS)
def test_what_is_ambiguous_is_refused(name: str, step: int) -> None:
    raw, status = FAULTS[name]
    with pytest.raises(h11.RemoteProtocolError) as caught:
        read(strict(), raw, step)
    assert caught.value.error_status_hint == status


@pytest.mark.parametrize("step", [10_000, 1])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_malformed_is_refused(name: str, step: int) -> None:
    with pytest.raises(h11.RemoteProtocolError):
        read(strict(), REFUSED[name], step)


@pytest.mark.parametrize("step", [10_000, 1])
@pytest.mark.parametrize("name", TAKEN)
def test_what_is_well_formed_is_taken(name: str, step: int) -> None:
    events = read(strict(), TAKEN[name], step)
    assert isinstance(events[0], h11.Request)
    assert isinstance(events[-1], h11.EndOfMessage)


def test_a_refusal_is_one_line_without_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "app")
    connection = strict()
    for _ in range(3):
        with pytest.raises(h11.RemoteProtocolError):
            read(connection, get(b"Host: localhost\r\nAuthorization : Bearer secret\r\n"), 1000)
    [record] = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage() == "A client sent what is not HTTP/1.1: illegal header line"


class Exchange:
    """What Hypercorn sends for what it receives, before there is an application."""

    def __init__(self, kind: type[hypercorn_h11.H11Protocol]) -> None:
        self.sent: list[object] = []
        nothing: Any = None
        state: Any = {}
        self.protocol = kind(
            nothing, Config(), WorkerContext(None), nothing, state, False, None, None, self.send
        )

    async def send(self, event: object) -> None:
        self.sent.append(event)

    async def receive(self, raw: bytes) -> bytes:
        await self.protocol.handle(RawData(raw))
        return b"".join(event.data for event in self.sent if isinstance(event, RawData))


H2C = (
    b"Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: \r\n"
)


async def test_hypercorn_still_switches_to_http2_in_plain_text() -> None:
    with pytest.raises(hypercorn_h11.H2CProtocolRequiredError):
        await Exchange(hypercorn_h11.H11Protocol).receive(get(H2C))
    with pytest.raises(hypercorn_h11.H2ProtocolAssumedError):
        await Exchange(hypercorn_h11.H11Protocol).receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


async def test_an_upgrade_to_http2_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = []

    async def create_stream(protocol: StrictProtocol, request: h11.Request) -> None:
        answered.append(request.target)

    monkeypatch.setattr(StrictProtocol, "_create_stream", create_stream)
    assert await Exchange(StrictProtocol).receive(get(H2C)) == b""
    assert answered == [b"/"]


async def test_a_refused_request_ends_its_connection() -> None:
    exchange = Exchange(StrictProtocol)
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = await exchange.receive(post(CHUNKED + LENGTH) + smuggled)
    await exchange.receive(smuggled)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert any(isinstance(event, Closed) for event in exchange.sent)


WEBSOCKET = b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    ("kind", "closes"), [(hypercorn_h11.H11Protocol, False), (StrictProtocol, True)]
)
async def test_a_refused_websocket_ends_its_connection_with_the_patch_alone(
    kind: type[hypercorn_h11.H11Protocol], closes: bool
) -> None:
    exchange = Exchange(kind)
    answer = await exchange.receive(get(WEBSOCKET))  # without a key and a version
    assert answer.startswith(b"HTTP/1.1 400")
    assert any(isinstance(event, Closed) for event in exchange.sent) == closes
