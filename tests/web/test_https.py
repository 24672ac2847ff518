"""The redirect to https, which must lead somewhere."""

import logging

import pytest
from quart import Quart

from app import create_app
from app.web.middleware.https import REDIRECTS

HTTPS = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
HTTP = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"}
BROWSER = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}


def secure(monkeypatch: pytest.MonkeyPatch, proxies: int) -> Quart:
    monkeypatch.setenv("BASE_URL", "https://app.example.com")
    monkeypatch.setenv("TRUSTED_PROXIES", str(proxies))
    return create_app("testing")


@pytest.mark.parametrize(
    ("proxies", "headers", "version", "words"),
    [
        (0, {"X-Forwarded-For": "192.0.2.1"}, "1.1", "but TRUSTED_PROXIES is 0"),
        (0, HTTPS, "1.1", "but TRUSTED_PROXIES is 0"),
        (0, {"Via": "1.1 gate"}, "1.1", "but TRUSTED_PROXIES is 0"),
        (1, {"X-Forwarded-For": "192.0.2.1"}, "1.1", "does not say whether"),
        (1, {"X-Real-IP": "192.0.2.1"}, "1.0", "does not say whether"),
        (1, {}, "1.0", "does not say whether"),
        (1, HTTPS | {"X-Forwarded-Proto": "on"}, "1.1", "does not say whether"),
        (1, {"Forwarded": "for=192.0.2.1"}, "1.1", "does not say whether"),
        (1, HTTP | BROWSER, "1.1", "says http although"),
        (1, BROWSER, "1.1", "does not say whether"),
        (0, BROWSER, "1.0", "does not say whether"),
    ],
)
async def test_where_a_redirect_would_go_round_in_circles_the_page_explains(
    monkeypatch: pytest.MonkeyPatch,
    proxies: int,
    headers: dict[str, str],
    version: str,
    words: str,
) -> None:
    client = secure(monkeypatch, proxies).test_client()
    headers = {"Host": "app.example.com"} | headers
    base = {"http_version": version, "client": ("10.0.0.1", 1)}
    response = await client.get("/account/login", headers=headers, scope_base=base)
    page = await response.get_data(as_text=True)
    assert (response.status_code, response.headers["Cache-Control"]) == (500, "no-store")
    assert words in page
    assert "not your fault" in page
    assert "Content-Security-Policy" in response.headers
    response = await client.post("/api/v1/session", headers=headers, scope_base=base)
    assert (response.status_code, response.content_type) == (500, "application/problem+json")
    assert words in (await response.get_json())["detail"]
    assert (await client.get("/livez", headers=headers, scope_base=base)).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "headers"),
    [(0, {}), (1, {}), (1, HTTP), (0, {"Host": "localhost:8000"} | BROWSER)],
)
async def test_whoever_comes_by_http_is_redirected(
    monkeypatch: pytest.MonkeyPatch, proxies: int, headers: dict[str, str]
) -> None:
    client = secure(monkeypatch, proxies).test_client()
    response = await client.get("/about?a=b", headers=headers)
    assert response.status_code == 308
    assert response.headers["Location"] == "https://app.example.com/about?a=b"


async def test_nobody_is_redirected_from_one_page_again_and_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = secure(monkeypatch, 1)
    client = app.test_client()
    with caplog.at_level(logging.ERROR):
        statuses = [
            (await client.get("/about", headers=HTTP)).status_code for _ in range(REDIRECTS + 2)
        ]
    assert statuses == [308] * REDIRECTS + [500] * 2
    lines = [r.getMessage() for r in caplog.records if "redirect loop" in r.getMessage()]
    assert len(lines) == 1
    assert "X-Forwarded-Proto $http_x_forwarded_proto" in lines[0]
    somebody = HTTP | {"X-Forwarded-For": "192.0.2.2"}
    assert (await client.get("/about", headers=somebody)).status_code == 308


async def test_where_https_arrives_repeated_redirects_are_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = secure(monkeypatch, 1).test_client()
    for _ in range(REDIRECTS * 2):
        assert (await client.get("/about", headers=HTTP)).status_code == 308
        assert (await client.get("/robots.txt", headers=HTTPS)).status_code == 200
