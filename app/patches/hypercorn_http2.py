"""Hypercorn 0.18: a client of HTTP/2 (over TLS) fills the memory, or ends in a traceback.

1. A response is buffered whole while its stream's window is closed: reading nothing from a buffer
   that is full counts as room in it. 500 streams that wait for a file of 1 MB take 700 MB.
2. The tree of priorities takes 1,000 streams. Those that a client names in PRIORITY frames count,
   and those that it resets as long as more frames keep arriving. The next one is a traceback, and
   so is a tree that is some hundred streams deep.
"""

import asyncio

import h2.events
from hypercorn.protocol.h2 import BUFFER_LOW_WATER, H2Protocol, StreamBuffer

_handle_events = H2Protocol._handle_events


def bound_http2() -> None:
    """Buffer at most 32 KiB and a chunk for each stream. Call this when the application starts.

    Changes nothing for servers other than Hypercorn.
    """
    StreamBuffer.pop = _pop  # type: ignore[method-assign]
    H2Protocol._handle_events = _handle_one_by_one  # type: ignore[method-assign]
    H2Protocol._priority_updated = _ignore  # type: ignore[method-assign]


async def _pop(buffer: StreamBuffer, max_length: int) -> bytes:
    """Return up to `max_length` bytes. The response goes on once there is room in the buffer."""
    data = bytes(buffer.buffer[:max_length])
    del buffer.buffer[:max_length]
    if len(buffer.buffer) < BUFFER_LOW_WATER:
        await buffer._paused.set()
    if not buffer.buffer:
        await buffer._is_empty.set()
    return data


async def _handle_one_by_one(protocol: H2Protocol, events: list[h2.events.Event]) -> None:
    """Handle what a client sent, and let responses be sent and closed streams forgotten."""
    for event in events:
        await _handle_events(protocol, [event])
        await asyncio.sleep(0)


async def _ignore(protocol: H2Protocol, event: h2.events.PriorityUpdated) -> None:
    """Take turns among streams, whatever the client prefers: RFC 9113 (5.3) deprecates that."""
