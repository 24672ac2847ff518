"""Hypercorn 0.18: SIGTERM drops connections, and from Python 3.12.1 waits for others without end.

1. It closes every connection whose request it has not read yet, and resets those that it has not
   accepted, so a client that connected just before a restart gets no answer.
2. It awaits `Server.wait_closed` before `graceful_timeout` begins to run; since Python 3.12.1 that
   waits for every connection (https://github.com/pgjones/hypercorn/issues/308).
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path

READ_TIMEOUT = 0.1  # seconds between accepting the last connection and stopping the server


def stop_in_order(draining: threading.Event) -> None:
    """Stop listening on SIGTERM, set `draining`, and stop Hypercorn a moment later.

    Clients that have connected by then are answered. Those that come later are refused, or wait in
    the socket's queue if systemd or `serve` keeps it open: the next process answers them.

    Call this from a `before_serving` function. It changes nothing where Hypercorn has no signal
    handlers of its own to stand in for: on another thread, another kind of event loop, or another
    server.
    """
    loop = asyncio.get_running_loop()

    def stop() -> None:
        draining.set()
        loop.add_signal_handler(signal.SIGTERM, draining.set)  # a second SIGTERM changes nothing
        # Hypercorn treats SIGINT like SIGTERM. Scheduled first: whatever fails below, it stops.
        loop.call_later(READ_TIMEOUT, signal.raise_signal, signal.SIGINT)
        closed = [_close(loop, listener) for listener in _listeners()]
        if not any(closed):
            # Still starting: it would begin to accept connections only to drop them.
            sys.exit()

    if (
        threading.current_thread() is threading.main_thread()
        and isinstance(loop, asyncio.SelectorEventLoop)
        and signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        loop.add_signal_handler(signal.SIGTERM, stop)
        asyncio.Server.wait_closed = _wait_for_nothing  # type: ignore[assignment, method-assign]  # there is no other way in


async def _wait_for_nothing(server: asyncio.Server) -> None:
    """Return at once, as `Server.wait_closed` did before Python 3.12.1."""


def _close(loop: asyncio.AbstractEventLoop, listener: int) -> bool:
    """Accept whoever waits at a listening socket, and close it; false if the loop does not know it.

    Both at once: whoever connects in between would be reset.
    """
    try:
        accept = loop._selector.get_key(listener).data[0]  # type: ignore[attr-defined]
    except KeyError:
        return False
    accept._run()
    loop.remove_reader(listener)
    # Hypercorn will close this number, so it has to stay a file's.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, listener, inheritable=False)
    os.close(nothing)
    return True


def _listeners() -> list[int]:
    """Return the descriptors of the sockets that this process listens on."""
    found = []
    for descriptor in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        with contextlib.suppress(OSError):  # most descriptors are no sockets
            candidate = socket.socket(fileno=descriptor)
            try:
                if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.append(descriptor)
            finally:
                candidate.detach()
    return found
