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

    def note(signum: int, frame: FrameType | None) -> None:
        app.extensions["draining"].set()

    @app.before_serving
    async def listen() -> None:
        # The server has handlers of its own on the event loop. The interpreter's wake-up descriptor
        # triggers those whichever Python function handles the signal, so this adds to them.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        ):
            signal.signal(signal.SIGTERM, note)
            signal.siginterrupt(signal.SIGTERM, False)
