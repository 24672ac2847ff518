"""How a worker ends that is alone in its process: told by a signal, with Redis or without it."""

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from app.away import REDIS_AWAY
from app.jobs.engine import stop_signals
from app.jobs.engine.runner import Runner
from app.patches.arq_exits import when_left

logger = logging.getLogger("app.jobs")


class Ending:
    """To be made before arq is, then told when arq starts up."""

    def __init__(
        self,
        stopping: threading.Event,
        on_shutdown: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._stopping = stopping
        self._on_shutdown = on_shutdown
        self._ignored = stop_signals.ignored()

    def begin(self, ctx: dict[str, Any]) -> None:
        """Listen to signals, and see to it that arq closes. arq's main task has to call this."""
        stop_signals.listen(self._stopping, self._ignored)
        main = asyncio.current_task()
        when_left(asyncio.get_running_loop(), partial(self._close, ctx, main))

    async def _close(self, ctx: dict[str, Any], main: Any, arq_closes: Awaitable[Any]) -> None:
        runner: Runner | None = ctx.get("runner")
        if runner and not main.done():
            runner.leave()
        try:
            await arq_closes
        except (*REDIS_AWAY, asyncio.CancelledError) as error:
            # arq gives up in the middle of this, without its jobs and without `on_shutdown`.
            if runner:
                await runner.slots_closed()
            await self._on_shutdown(ctx)
            if not self._stopping.is_set():
                raise
            logger.warning("arq has left its queue in Redis, which expires: %r", error)
        if runner:
            runner.end_process()
        if self._stopping.is_set() and _lost_redis(main):
            sys.exit()


def _lost_redis(main: "asyncio.Task[Any]") -> bool:
    """Tell whether arq's main task has ended because Redis was away."""
    return main.done() and not main.cancelled() and isinstance(main.exception(), REDIS_AWAY)
