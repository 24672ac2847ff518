"""How a burst of requests is kept from holding up what comes in between: an ASGI layer."""

import asyncio

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config
from app.web.middleware.headers import PROBES


class Pacing:
    """Lets one request begin in each turn of the event loop, in their order; probes go past.

    The others go on in the same turn, so a single request waits for nothing. Without this 200 that
    arrive together are all begun in one turn, which then takes as long as they do.
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
