"""The application for an ASGI server: `hypercorn -c hypercorn.toml app.asgi:app`.

Importing this is starting the server, so what would make every request fail stops it here, in
words.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import threading
from pathlib import Path

from quart import current_app

from app import create_app
from app.errors import Problem
from app.health import probes

# Seconds from accepting the last connection to having read its request.
LAST_READING = 0.1

try:
    app = create_app()
    probes.require_now(app.extensions["settings"], probes.database)
except Problem as problem:
    sys.exit(problem.message)


@app.before_serving
async def stop_in_order() -> None:
    """Lose no connection when told to stop, and wait for none without end.

    Hypercorn drops the connections whose request it has not read yet. So SIGTERM stops the
    accepting first and the server a moment later. Who comes then waits in the queue of the socket:
    if systemd or `serve` keeps that open, the next process answers.
    """
    loop = asyncio.get_running_loop()
    draining = current_app.extensions["draining"]

    def stop() -> None:
        draining.set()
        loop.add_signal_handler(signal.SIGTERM, draining.set)  # another one changes nothing
        # Hypercorn takes both signals alike. This comes first: whatever happens below, the server
        # stops.
        loop.call_later(LAST_READING, signal.raise_signal, signal.SIGINT)
        accepting = [loop.remove_reader(listener) for listener in listeners()]
        if not any(accepting):
            # it is still starting, and would begin with accepting those whom it drops then
            sys.exit()

    # Hypercorn's handlers, on this thread and this kind of loop, are what this knows how to stand
    # in for.
    if (
        threading.current_thread() is threading.main_thread()
        and isinstance(loop, asyncio.SelectorEventLoop)
        and signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        loop.add_signal_handler(signal.SIGTERM, stop)
        asyncio.Server.wait_closed = closed  # type: ignore[assignment, method-assign]  # there is no other way in


async def closed(server: asyncio.Server) -> None:
    """Wait for nothing, as `Server.wait_closed` did before Python 3.12.1.

    Hypercorn 0.18 awaits it before its `graceful_timeout` begins to run, and since then it awaits
    every connection.
    """


def listeners() -> list[int]:
    """The descriptors of the sockets that this process listens on."""
    found = []
    for descriptor in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        with contextlib.suppress(OSError):  # most are no sockets
            candidate = socket.socket(fileno=descriptor)
            try:
                if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.append(descriptor)
            finally:
                candidate.detach()
    return found


# What is loaded by now stays for good. Looking through it again in every full collection would hold
# up all requests for about 0.1 s each time.
gc.collect()
gc.freeze()
