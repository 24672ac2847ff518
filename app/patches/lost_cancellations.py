"""Ending asyncio tasks."""

import asyncio

AGAIN = 0.5  # seconds


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, and return when all have ended.

    Until Python 3.12 `asyncio.wait_for`, in which redis-py sends commands, loses a cancellation
    that comes just when it is done. So those that go on are cancelled again.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=AGAIN)
