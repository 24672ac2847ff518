"""Start requests one by one, and bound how many are in progress: an ASGI layer."""

import asyncio
from collections import Counter

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config
from app.limits import UNKNOWN_IP, rate_limit_ip
from app.web.middleware.answers import answer
from app.web.middleware.headers import PROBES

# Requests in progress in this process, in all and of one ip. Each may hold some 100 KB: its state,
# its headers and a piece of its response that the client has yet to read.
MOST = 1000
MOST_OF_ONE = 500

RETRY_AFTER = 5  # seconds
FULL = "There are too many requests at the moment. Try again in a few seconds."


class Pacing:
    """Start at most one request in each turn of the event loop, in order; probes are exempt.

    Answer 503 while `MOST` are in progress, or `MOST_OF_ONE` of the client's ip: clients that do
    not read what they ask for take a bounded amount of memory, and one of them not all the room.

    Requests that have started go on in the same turn, so a single request does not wait. Without
    this, 200 requests that arrive together all start in one turn, which then blocks the loop for as
    long as they take together.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app
        self._turn = asyncio.Lock()
        self._in_progress: Counter[str] = Counter()

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        ip = rate_limit_ip((scope.get("client") or (UNKNOWN_IP,))[0])
        if self._is_full(ip):
            await answer(scope, send, 503, "Service Unavailable", FULL, retry_after=RETRY_AFTER)
            return
        self._in_progress[ip] += 1
        try:
            async with self._turn:
                await asyncio.sleep(0)
            await self.app(scope, receive, send)
        finally:
            self._in_progress[ip] -= 1
            if not self._in_progress[ip]:
                del self._in_progress[ip]

    def _is_full(self, ip: str) -> bool:
        return self._in_progress.total() >= MOST or (
            ip != UNKNOWN_IP and self._in_progress[ip] >= MOST_OF_ONE
        )
