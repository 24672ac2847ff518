"""Hypercorn 0.18 with h11 0.16: requests that a proxy in front may read differently are served.

1. `Transfer-Encoding` beside `Content-Length`, or in HTTP/1.0, is obeyed. A proxy that goes by
   `Content-Length` takes the rest of the body for another request, or the other way round, which
   is request smuggling (RFC 9112, 6.1 and 11.2).
2. Lines of a head that end with LF alone, lines that are folded, and control characters or blanks
   after the size of a chunk are accepted.
3. Versions other than 1.0 and 1.1, and a `Host` that names no host, are accepted.
4. `Upgrade: h2c` and HTTP/2 in plain text are accepted, and no setting turns them off. A proxy that
   passes the upgrade on sees none of the requests that follow.
5. After a websocket that is refused, `Connection: close` is promised but not kept.
"""

import logging
import re
from typing import Any

import h11
import hypercorn.protocol
from h11._receivebuffer import ReceiveBuffer
from hypercorn.events import Closed, Event
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream

logger = logging.getLogger(__name__)

LF_ALONE = re.compile(rb"(?<!\r)\n")
FOLDED = re.compile(rb"\n[ \t]")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}(;[\t\x20-\x7e\x80-\xff]*)?\r\n")
# A name, an IPv4 address or a bracketed IPv6 address, and a port. Names with `_` exist in practice.
HOST = re.compile(rb"([A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
VERSIONS = (b"1.0", b"1.1")

_protocol = H11Protocol


def refuse_ambiguous_requests() -> None:
    """Answer such requests with 400, 501 or 505, and close. Call this when the application starts.

    Each is one line at INFO. Changes nothing for servers other than Hypercorn.
    """
    hypercorn.protocol.H11Protocol = StrictProtocol  # type: ignore[attr-defined]  # the name that connections are made from


class StrictBuffer(ReceiveBuffer):
    """Received bytes whose lines end with CRLF, are not folded, and hold well-formed sizes."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines of a head or of trailers, None if they are not complete."""
        start = max(0, self._multiple_lines_search - 2)
        end = 0 if self._data[:2] == b"\r\n" else self._data.find(b"\r\n\r\n", start)
        end = end if end >= 0 else len(self._data)
        if LF_ALONE.search(self._data, start, end):
            raise h11.LocalProtocolError("line that ends with LF alone")
        if FOLDED.search(self._data, start, end):
            raise h11.LocalProtocolError("folded header line")
        return super().maybe_extract_lines()

    def maybe_extract_next_line(self) -> bytearray | None:
        """Return the line with the size of the next chunk, None if it is not complete."""
        line = super().maybe_extract_next_line()
        if line is not None and not CHUNK_SIZE.fullmatch(line):
            raise h11.LocalProtocolError("illegal chunk header")
        return line


class StrictConnection(h11.Connection):
    """A connection that reads only requests that everybody reads alike."""

    def __init__(self, max_incomplete_event_size: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)
        self._receive_buffer = StrictBuffer()

    def next_event(self) -> Any:
        """Return the next event. Raises `RemoteProtocolError`, and logs it the first time."""
        failed = self.their_state is h11.ERROR
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            if not failed:
                # What follows may quote the request, which may hold a secret.
                words = re.split(r"[:(]| b'| bytearray", str(error))[0]
                logger.info("A client sent what is not HTTP/1.1: %s", words.strip())
            raise

    def _extract_next_receive_event(self) -> Any:
        event = super()._extract_next_receive_event()
        if isinstance(event, h11.Request):
            _require_unambiguous(event)
        return event


class StrictProtocol(_protocol):
    """Hypercorn's protocol on such connections, without a way to HTTP/2."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection = StrictConnection(self.config.h11_max_incomplete_size)

    async def handle(self, event: Event) -> None:
        """Handle what arrived, and close after a websocket that was refused."""
        await super().handle(event)
        if isinstance(self.stream, WSStream) and self.stream.closed:
            await self.send(Closed())

    async def _check_protocol(self, event: h11.Request) -> None:
        """Switch to nothing: an `Upgrade` to h2c may be ignored (RFC 9110, 7.8)."""


def _require_unambiguous(request: h11.Request) -> None:
    headers = dict(request.headers)
    if request.http_version not in VERSIONS:
        raise h11.LocalProtocolError("unsupported version", error_status_hint=505)
    if b"transfer-encoding" in headers and b"content-length" in headers:
        raise h11.LocalProtocolError("Transfer-Encoding beside Content-Length")
    if b"transfer-encoding" in headers and request.http_version == b"1.0":
        raise h11.LocalProtocolError("Transfer-Encoding in HTTP/1.0")
    if not HOST.fullmatch(headers.get(b"host", b"")):
        raise h11.LocalProtocolError("illegal Host")
