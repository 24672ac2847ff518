"""arq 0.28: a worker whose event loop is left by an exception goes on, and takes no jobs.

When a task or a callback raises `SystemExit` (a library that calls `sys.exit`), the exception
leaves the event loop. arq's `Worker.run` then waits for its running jobs without stopping anything,
and runs its own main task no further: the process lives on and does nothing. Here it is told that
it has to stop.
"""

import asyncio
from collections.abc import Callable
from typing import Any


def when_left(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> Callable[[], None]:
    """Have `call` called when the loop is entered anew, as arq does to close; returns the undoing.

    Code inside the loop is not told that it was left.
    """
    enter = loop.run_until_complete

    def run_until_complete(future: Any) -> Any:
        undo()
        call()
        return enter(future)

    def undo() -> None:
        loop.__dict__.pop("run_until_complete", None)

    loop.run_until_complete = run_until_complete  # type: ignore[method-assign]  # there is no other way in
    return undo
