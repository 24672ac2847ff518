"""The request log: one line for each request, with its id and without secrets."""

import logging
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.web.middleware.request_log import RequestLog
from tests.conftest import MakeApp
from tests.factories.people import make_person


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


async def test_an_error_in_a_layer_around_the_application_is_a_plain_500_with_an_id(
    app: Quart, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("as planned")

    events: list[Any] = []

    async def send(event: Any) -> None:
        events.append(event)

    layer: Any = RequestLog(broken, app.extensions["settings"])
    await layer({"type": "http", "method": "GET", "path": "/", "headers": []}, None, send)
    assert events[0]["status"] == 500
    assert dict(events[0]["headers"])[b"x-request-id"]
    assert "as planned" not in str(events)
    assert "as planned" in caplog.text
