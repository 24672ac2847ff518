"""arq 0.28: how a worker ends when its event loop is left by an exception, or Redis is away.

When a task or a callback raises `SystemExit` (a library that calls `sys.exit`), the exception
leaves the event loop. arq's `Worker.run` then waits for its running jobs without stopping anything,
and runs its own main task no further: the process lives on and does nothing. Here it is told that
it has to stop.

When it is stopped while Redis is away, its closing fails at the first command, and leaves running
jobs and its `on_shutdown`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


def when_left(
    loop: asyncio.AbstractEventLoop, run: Callable[[Awaitable[Any]], Coroutine[Any, Any, Any]]
) -> None:
    """Have `run` run what the loop is entered anew for, as arq does to close.

    Code inside the loop is not told that it was left.
    """
    enter = loop.run_until_complete

    def run_until_complete(future: Any) -> Any:
        loop.__dict__.pop("run_until_complete", None)
        return enter(run(future))

    loop.run_until_complete = run_until_complete  # type: ignore[method-assign]  # there is no other way in
