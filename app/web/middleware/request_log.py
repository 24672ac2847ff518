"""An id for every request, and one log line when it ends: an ASGI layer."""

import logging
import os
import re
import time
from typing import Any

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

from app.config import Config
from app.logs import request_id

logger = logging.getLogger("app")
access = logging.getLogger("app.access")

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")


class RequestLog:
    """Give each request an id, answer with it in X-Request-ID, and log one line per request.

    The line names the route, never the path: the paths of mailed links hold secrets. An id that
    arrives in X-Request-ID is kept if a trusted proxy may have set it.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app
        self.trusts_proxies = settings.TRUSTED_PROXIES > 0
        self.shows_paths = settings.DEBUG  # developers want to know which path was not found

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        identifier = self._identifier(scope)
        request_id.set(identifier)
        started = time.perf_counter()
        status = 0

        async def send_with_id(event: ASGISendEvent) -> None:
            nonlocal status
            if event["type"] in ("http.response.start", "websocket.http.response.start"):
                status = event["status"]
                event["headers"] = [*event["headers"], (b"x-request-id", identifier.encode())]
            await send(event)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            # The application answers every error itself: this one arose in a layer around it.
            logger.exception("Error outside the application")
            if status:
                raise
            await _plain_500(send_with_id)
        finally:
            self._log(scope, status, time.perf_counter() - started)

    def _identifier(self, scope: Any) -> str:
        if self.trusts_proxies:
            for name, value in scope["headers"]:
                if name == b"x-request-id" and ACCEPTABLE_ID.fullmatch(value.decode("latin1")):
                    return str(value.decode("latin1"))
        return os.urandom(16).hex()

    def _log(self, scope: Any, status: int, seconds: float) -> None:
        """Log a request. Status 0 means that the client left before there was a response."""
        facts = {
            "method": scope["method"] if scope["type"] == "http" else "WEBSOCKET",
            "route": scope.get("route") or (scope["path"] if self.shows_paths else "(no route)"),
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        }
        access.info(
            "%s %s %s %.1f ms",
            facts["method"],
            facts["route"],
            status or "(gone)",
            facts["milliseconds"],
            extra=facts,
        )


async def _plain_500(send: Any) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send(
        {"type": "http.response.body", "body": b"Something went wrong here.\n", "more_body": False}
    )
