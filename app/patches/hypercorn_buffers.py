"""Hypercorn 0.18: responses to clients that do not read are buffered, over HTTP/2 without a bound.

1. Over HTTP/2 a response is buffered whole while its stream's window is closed: reading nothing
   from a buffer that is full counts as room in it. 500 streams that ask for a file of 1 MB take
   700 MB. Room that there was earlier counts as well, so that a chunk too many is let in.
2. Over HTTP/1.1 asyncio buffers 64 KiB and a chunk, without a setting.
"""

from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h2 import BufferCompleteError, StreamBuffer

# Bytes that a stream or a connection may hold before it has to wait; the chunk that is above it is
# held, too. A chunk is what the application sends at once.
HIGH_WATER = 16 * 1024

_init = TCPServer.__init__


def bound_buffers() -> None:
    """Buffer at most `HIGH_WATER` and a chunk of a response. Call this when the application starts.

    Changes nothing for servers other than Hypercorn.
    """
    StreamBuffer.push = _push  # type: ignore[method-assign]
    StreamBuffer.pop = _pop  # type: ignore[method-assign]
    TCPServer.__init__ = _init_with_limit  # type: ignore[assignment, method-assign]  # all arguments are passed on


async def _push(buffer: StreamBuffer, data: bytes) -> None:
    """Add data, then wait while there is too much."""
    if buffer._complete:
        raise BufferCompleteError
    buffer.buffer.extend(data)
    await buffer._is_empty.clear()
    if len(buffer.buffer) >= HIGH_WATER:
        await buffer._paused.clear()
        await buffer._paused.wait()


async def _pop(buffer: StreamBuffer, max_length: int) -> bytes:
    """Return up to `max_length` bytes, and let `push` go on once there is room."""
    data = bytes(buffer.buffer[:max_length])
    del buffer.buffer[:max_length]
    if len(buffer.buffer) < HIGH_WATER:
        await buffer._paused.set()
    if not buffer.buffer:
        await buffer._is_empty.set()
    return data


def _init_with_limit(server: TCPServer, *args: Any) -> None:
    _init(server, *args)
    server.writer.transport.set_write_buffer_limits(high=HIGH_WATER)
