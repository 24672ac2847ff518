"""Draining: once told to stop, say so to load balancers before the last connection closes."""

import signal
import threading
from types import FrameType

from quart import Quart, current_app


def is_draining() -> bool:
    """Tell whether this process has been told to stop, and only finishes its open requests."""
    return bool(current_app.extensions["draining"].is_set())


def init_app(app: Quart) -> None:
    """Set the event `draining` on SIGTERM, in addition to what the server does then."""
    app.extensions["draining"] = threading.Event()

    @app.before_serving
    async def listen() -> None:
        # A server has its handlers on the event loop. The interpreter's wake-up descriptor triggers
        # those whichever Python function handles the signal, so this adds to them.
        before = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            return

        def note(signum: int, frame: FrameType | None) -> None:
            app.extensions["draining"].set()
            before(signum, frame)  # that of a command

        signal.signal(signal.SIGTERM, note)
        signal.siginterrupt(signal.SIGTERM, False)
