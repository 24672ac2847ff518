"""aiosqlite 0.22: the thread of a connection that was abandoned complains once the loop has closed.

What waits for a connection may be cancelled by Ctrl-C, or the connection cannot be opened at all.
Its thread then tells an event loop that has closed meanwhile, and Python prints a traceback below
the command's last line.
"""

import threading


def let_threads_end_in_silence() -> None:
    """Print no traceback of a connection's thread whose event loop has closed.

    Call this once, at the beginning of a command: such a thread may outlive everything else.
    """
    show = threading.excepthook

    def show_others(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else ""  # which has the name of its function
        if "_connection_worker_thread" not in name or str(args.exc_value) != "Event loop is closed":
            show(args)

    threading.excepthook = show_others
