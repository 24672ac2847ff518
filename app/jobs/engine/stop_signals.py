"""The signals that stop a worker: whichever comes, it stops in the same way.

arq has handlers for SIGTERM and SIGINT on its event loop; its parts here have to know as well.
"""

import signal
import threading
from types import FrameType

# SIGHUP: the terminal was closed.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Shells have what a script starts by `&` ignore SIGINT, and `nohup` has SIGHUP ignored.
IGNORABLE = (signal.SIGINT, signal.SIGHUP)


def ignored() -> list[signal.Signals]:
    """Return those that this process is to ignore. To be asked before arq's handlers are set."""
    return [each for each in IGNORABLE if signal.getsignal(each) is signal.SIG_IGN]


def listen(stopping: threading.Event, unheard: list[signal.Signals]) -> None:
    """Set the event at the signals to stop, in addition to what arq does then."""
    if threading.current_thread() is not threading.main_thread():
        return

    def note(signum: int, frame: FrameType | None) -> None:
        stopping.set()
        if signum == signal.SIGHUP:
            signal.raise_signal(signal.SIGTERM)  # arq does not know the other one

    # The interpreter's wake-up descriptor triggers the handlers on the event loop whichever Python
    # function handles a signal, so this adds to them.
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN if each in unheard else note)
        signal.siginterrupt(each, False)
