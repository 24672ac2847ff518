"""Hypercorn 0.18 with h2 4.4: what clients do not read, or send in one frame, is buffered whole.

1. Over HTTP/2 a response is buffered whole while its stream's window is closed: reading nothing
   from a buffer that is full counts as room in it. 500 streams that ask for a file of 1 MB take
   700 MB. Room that there was earlier counts as well, so that a chunk too many is let in.
2. Over HTTP/1.1 asyncio buffers 64 KiB and a chunk, without a setting.
3. A frame of HTTP/2 that is too large, up to 16 MB, is refused only when all of it has arrived.
"""

from typing import Any

from h2.frame_buffer import FrameBuffer
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h2 import BufferCompleteError, StreamBuffer

# Bytes that a stream or a connection may hold before it has to wait; the chunk that is above it is
# held, too. A chunk is what the application sends at once.
HIGH_WATER = 16 * 1024

LENGTH = 3  # bytes at the beginning of a frame that hold its length

_init, _add_data = TCPServer.__init__, FrameBuffer.add_data


def bound_buffers() -> None:
    """Buffer at most `HIGH_WATER` and a chunk of a response. Call this when the application starts.

    Changes nothing for servers other than Hypercorn.
    """
    StreamBuffer.push = _push  # type: ignore[assignment, method-assign]
    StreamBuffer.pop = _pop  # type: ignore[assignment, method-assign]
    TCPServer.__init__ = _init_with_limit  # type: ignore[assignment, method-assign]  # all arguments are passed on
    FrameBuffer.add_data = _add_bounded_data  # type: ignore[assignment, method-assign]


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


def _add_bounded_data(frames: FrameBuffer, data: Any) -> None:
    """Add what arrived. Raises `FrameTooLargeError` as soon as a frame announces its size."""
    _add_data(frames, data)
    # h2 sets the limit when it has added the first bytes.
    if frames.max_frame_size and len(frames._data) >= LENGTH:
        frames._validate_frame_length(int.from_bytes(frames._data[:LENGTH], "big"))
