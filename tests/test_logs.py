"""Logs: one line a request, with its id and without secrets."""

import json
import logging

import pytest
from quart.typing import TestClientProtocol as Browser

from app import logs
from app.config import Config
from tests.conftest import MakeApp
from tests.factories.people import make_person


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


async def test_each_request_is_one_line_that_names_the_route_and_never_the_path(
    client: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "app.access"):
        response = await client.get("/static/app.css?v=canary")
        await client.get("/no/such/canary")
    lines = [record for record in caplog.records if record.name == "app.access"]
    assert [(line.route, line.status) for line in lines] == [  # type: ignore[attr-defined]
        ("/static/<path:filename>", 200),
        ("(no route)", 404),
    ]
    assert "canary" not in caplog.text
    assert len(response.headers["X-Request-Id"]) == 32


async def test_no_secret_of_a_log_in_is_logged(
    client: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    person = await make_person()
    with caplog.at_level(logging.DEBUG):
        for password in (person.password, "canary-password"):
            response = await client.post(
                "/api/v1/session", json={"email": person.email, "password": password}
            )
            token = (await response.get_json()).get("token", "canary")
            await client.get("/api/v1/account", headers={"Authorization": f"Bearer {token}"})
            for secret in (password, token):
                assert secret not in caplog.text


async def test_an_id_from_outside_is_kept_from_trusted_proxies_only(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"X-Request-Id": "from-the-proxy"}
    response = await make_app().test_client().get("/livez", headers=given)
    assert response.headers["X-Request-Id"] != "from-the-proxy"
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    client = make_app().test_client()
    assert (await client.get("/livez", headers=given)).headers["X-Request-Id"] == "from-the-proxy"
    forged = {"X-Request-Id": "two words, and more"}
    assert "words" not in (await client.get("/livez", headers=forged)).headers["X-Request-Id"]


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
