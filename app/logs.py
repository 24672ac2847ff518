"""Logs: a line for each event, with the id of the request it belongs to."""

import json
import logging
import logging.handlers
import re
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from uuid import uuid4

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

from app.config import Config

request_id: ContextVar[str] = ContextVar("request_id", default="-")

logger = logging.getLogger("app")
access = logging.getLogger("app.access")

SYSLOG_SOCKET = Path("/dev/log")
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request_id",
    "taskName",
}


def add_request_id(record: logging.LogRecord) -> bool:
    """Put the current request's id on a record: a filter that keeps every one."""
    record.request_id = request_id.get()
    return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what a call passes as `extra` are fields of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", "-"),
        }
        line |= {key: value for key, value in vars(record).items() if key not in STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class OurHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers only
    """Marks the handler as ours, so that configuring twice replaces it and leaves others alone."""


def configure(settings: Config) -> None:
    """Send this process' logs to stderr (and to syslog under `unix`), in the configured format."""
    formatter: logging.Formatter = JsonFormatter()
    if settings.LOG_FORMAT == "text":
        formatter = logging.Formatter(
            "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s", "%H:%M:%S"
        )
    handlers: list[logging.Handler] = [OurHandler()]
    if settings.SYSLOG and SYSLOG_SOCKET.exists():
        handlers.append(logging.handlers.SysLogHandler(address=str(SYSLOG_SOCKET)))
    root = logging.getLogger()
    for old in [
        h for h in root.handlers if isinstance(h, (OurHandler, logging.handlers.SysLogHandler))
    ]:
        root.removeHandler(old)
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.addFilter(add_request_id)
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("app", "arq", "hypercorn"):
        logging.getLogger(name).setLevel(settings.LOG_LEVEL)


class RequestLog:
    """ASGI layer.

    Gives each request an id, answers with it, and writes one line when the request ends.

    The line names the route, never the path: paths of mailed links hold secrets. An id that arrives
    in X-Request-ID is kept when a trusted proxy may have set it.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app
        self.trusts_proxies = settings.TRUSTED_PROXIES > 0
        self.shows_paths = (
            settings.DEBUG
        )  # whoever develops wants to know which address was missing

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
            # The application's own handlers answer every error; what comes here happened outside of
            # them.
            logger.exception("Error outside the application")
            if status:
                raise
            await _plain_500(send_with_id)
        finally:
            route = scope.get("route") or (scope["path"] if self.shows_paths else "(no route)")
            method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            facts = {
                "method": method,
                "route": route,
                "status": status,
                "milliseconds": milliseconds,
            }
            access.info(
                "%s %s %s %.1f ms", method, route, status or "(gone)", milliseconds, extra=facts
            )

    def _identifier(self, scope: Any) -> str:
        if self.trusts_proxies:
            for name, value in scope["headers"]:
                if name == b"x-request-id" and ACCEPTABLE_ID.fullmatch(value.decode("latin1")):
                    return str(value.decode("latin1"))
        return uuid4().hex


async def _plain_500(send: Any) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send(
        {"type": "http.response.body", "body": b"Something went wrong here.\n", "more_body": False}
    )
