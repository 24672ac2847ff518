"""Notice the signal to stop, so that load balancers are told before the last connection closes."""

import signal
import threading
from types import FrameType

from quart import Quart, current_app


def is_draining() -> bool:
    """Tell whether this process has been told to stop, and only finishes what it has begun."""
    return bool(current_app.extensions["draining"].is_set())


def init_app(app: Quart) -> None:
    """Set the event `draining` when SIGTERM arrives, beside whatever the server does then."""
    app.extensions["draining"] = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        app.extensions["draining"].set()

    @app.before_serving
    async def listen() -> None:
        # The server has handlers of its own on the event loop. Those are woken by the interpreter's
        # wake-up descriptor, whatever Python function is installed for the signal, so this one only
        # adds to them.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        ):
            signal.signal(signal.SIGTERM, note)
            signal.siginterrupt(signal.SIGTERM, False)
