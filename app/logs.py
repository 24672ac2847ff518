"""Logs: one line for each event, with the id of the request that it belongs to."""

import json
import logging
import logging.handlers
import os
import re
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from app.config import Config
from app.terminal import printable

request_id: ContextVar[str] = ContextVar("request_id", default="-")

ENCODER = json.JSONEncoder(default=str)

SYSLOG_SOCKET = Path("/dev/log")
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request_id",
    "taskName",
}


# Characters of a message or a traceback. Beyond that it is data, which logs are no place for.
LONGEST, END = 10_000, 2_000


def shortened(text: str) -> str:
    """Return a text without its middle if it is too long: the end of a traceback is its error."""
    if len(text) <= LONGEST:
        return text
    left_out = f"… {len(text) - LONGEST} characters are left out …"
    return f"{text[: LONGEST - END]}\n{left_out}\n{text[-END:]}"


def add_request_id(record: logging.LogRecord) -> bool:
    """Add the current request's id to a record. A filter that keeps every record."""
    record.request_id = request_id.get()
    return True


class TextFormatter(logging.Formatter):
    """Write a line for people, and tracebacks below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (a method of the library)
        """Return the line."""
        record.message = printable(shortened(record.message), lines=True)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  (a method of the library)
        """Return the traceback."""
        return printable(shortened(super().formatException(ei)), lines=True)


class JsonFormatter(TextFormatter):
    """Write one JSON object per line, with what a call passes as `extra` among its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": shortened(record.getMessage()),
            "request_id": getattr(record, "request_id", "-"),
        }
        line |= {key: value for key, value in vars(record).items() if key not in STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return ENCODER.encode(line)


class OurHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers only
    """Mark a handler as ours: configuring twice replaces it and leaves other handlers alone."""


def configure(settings: Config) -> None:
    """Send this process's logs to stderr, and to syslog where `SYSLOG` is set, in `LOG_FORMAT`."""
    formatter: logging.Formatter = JsonFormatter()
    if settings.LOG_FORMAT == "text":
        formatter = TextFormatter(
            "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s", "%H:%M:%S"
        )
    handlers: list[logging.Handler] = [OurHandler()]
    if settings.SYSLOG and SYSLOG_SOCKET.exists():
        syslog = logging.handlers.SysLogHandler(address=str(SYSLOG_SOCKET))
        # As other programs say who they are; a tag has 32 characters, letters and digits.
        syslog.ident = f"{re.sub('[^A-Za-z0-9]+', '-', settings.APP_NAME)[:32]}[{os.getpid()}]: "
        handlers.append(syslog)
    root = logging.getLogger()
    for old in [
        h for h in root.handlers if isinstance(h, (OurHandler, logging.handlers.SysLogHandler))
    ]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.addFilter(add_request_id)
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("app", "arq", "hypercorn"):
        logging.getLogger(name).setLevel(settings.LOG_LEVEL)
