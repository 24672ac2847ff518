"""Python 3.11: a task cancelled inside `asyncio.wait_for` may run on.

`wait_for` swallows a cancellation that arrives in the same turn of the event loop in which its
future completes (https://github.com/python/cpython/issues/86296, fixed in 3.12). arq runs its jobs
inside it. Needed until `requires-python` begins at 3.12.
"""

import asyncio

REPEAT_AFTER = 0.5  # seconds until a task that still runs is cancelled again


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, and cancel again those that run on, until all have ended."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=REPEAT_AFTER)
