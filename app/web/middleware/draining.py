"""Take in what is still arriving of a body that is too large, before saying so: an ASGI layer."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

from app.config import Config

# Seconds: the total, and the longest pause without anything arriving.
LONGEST = 10.0
IDLE = 0.25


class DrainedRefusals:
    """Hold back a 413 while the body that it refuses is still arriving; the body is dropped.

    Closing a connection with unread data resets it, and a proxy that is still sending then answers
    502 instead of passing the 413 on.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _has_body(scope["headers"]):
            await self.app(scope, receive, send)
            return
        ended, events = asyncio.Event(), 0

        async def receive_and_count() -> ASGIReceiveEvent:
            nonlocal events
            event = await receive()
            events += 1
            if event["type"] != "http.request" or not event.get("more_body"):
                ended.set()
            return event

        async def send_after_body(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start" and event["status"] == 413:
                until, before = time.monotonic() + LONGEST, -1
                # The application goes on receiving, and drops what arrives.
                while not ended.is_set() and events != before and time.monotonic() < until:
                    before = events
                    with suppress(TimeoutError):
                        await asyncio.wait_for(ended.wait(), IDLE)
            await send(event)

        await self.app(scope, receive_and_count, send_after_body)


def _has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a body follows in HTTP/1: HTTP/2 can refuse one without closing anything."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
