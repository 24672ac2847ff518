"""Start requests one by one, so that a burst does not delay everything else: an ASGI layer."""

import asyncio

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config
from app.web.middleware.headers import PROBES


class Pacing:
    """Start at most one request in each turn of the event loop, in order; probes are exempt.

    Requests that have started go on in the same turn, so a single request does not wait. Without
    this, 200 requests that arrive together all start in one turn, which then blocks the loop for as
    long as they take together.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app
        self._turn = asyncio.Lock()

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            async with self._turn:
                await asyncio.sleep(0)
        await self.app(scope, receive, send)
