"""Logs: one line a request, with its id and without secrets."""

import json
import logging
import os
import re
import socket
import sys
from pathlib import Path

import pytest

from app import logs
from app.config import Config


def test_json_lines_hold_what_one_searches_for() -> None:
    record = logging.makeLogRecord(
        {"name": "app", "levelname": "INFO", "msg": "%s ready", "args": ("all",), "user": 7}
    )
    logs.request_id.set("abc")
    logs.add_request_id(record)
    line = json.loads(logs.JsonFormatter().format(record))
    assert (line["message"], line["level"], line["user"], line["request_id"]) == (
        "all ready",
        "INFO",
        7,
        "abc",
    )
    assert line["time"].endswith("Z")


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise RuntimeError("as planned")
    except RuntimeError as error:
        record = logging.makeLogRecord(
            {"msg": "failed", "exc_info": (type(error), error, error.__traceback__)}
        )
    text = logs.JsonFormatter().format(record)
    assert "\n" not in text
    assert "as planned" in json.loads(text)["exception"]


def test_configuring_twice_writes_each_line_once(settings: Config) -> None:
    others = [
        handler
        for handler in logging.getLogger().handlers
        if not isinstance(handler, logs.OurHandler)
    ]
    for _ in range(2):
        logs.configure(settings)
    handlers = logging.getLogger().handlers
    assert len([handler for handler in handlers if isinstance(handler, logs.OurHandler)]) == 1
    assert [handler for handler in handlers if not isinstance(handler, logs.OurHandler)] == others


def test_lines_in_syslog_say_whose_they_are(
    settings: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(logs, "SYSLOG_SOCKET", tmp_path / "log")
    monkeypatch.setattr(type(settings), "SYSLOG", True)
    settings.APP_NAME = "Bücher & Söhne"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.settimeout(5)
        try:
            logs.configure(settings)
            logging.getLogger("app").error("something happened")
            line = listener.recv(4096).decode()
        finally:
            monkeypatch.undo()
            logs.configure(settings)
    assert re.match(rf"<\d+>B-cher-S-hne\[{os.getpid()}\]: ", line)
    assert "something happened" in line


def test_what_others_wrote_reaches_no_terminal_as_it_is() -> None:
    try:
        raise ValueError("\x1b[31mred\r\u202e")
    except ValueError:
        record = logging.LogRecord(
            "app", logging.ERROR, "here", 1, "%s", ("\x9b31m\nsecond",), sys.exc_info()
        )
    shown = logs.TextFormatter("%(message)s").format(record)
    assert not set(shown) & set("\x1b\r\u202e\x9b")
    assert shown.startswith("\\x9b31m\nsecond\nTraceback")
    assert shown.endswith("ValueError: \\x1b[31mred\\r\\u202e")
