"""Requests that another site makes, and the way to this one over https."""

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app import create_app
from app.web.cross_site import SAFE_METHODS
from tests.factories.people import PASSWORD, log_in, make_person, secret_of
from tests.web.callers import callers, routes

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9999"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "cross-site", "Authorization": "Bearer x", "Cookie": "session_testing=x"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_no_unsafe_request_from_another_site_gets_through(
    app: Quart, headers: dict[str, str]
) -> None:
    """Log-in and log-out included."""
    browsers = await callers(app)
    unsafe = [(method, path) for method, path, _ in routes(app) if method not in SAFE_METHODS]
    assert {"/account/login", "/account/logout", "/api/v1/session"} <= {path for _, path in unsafe}
    for method, path in [*unsafe, ("POST", "/no-such-page"), ("PUT", "/")]:
        for kind, browser in browsers.items():
            response = await getattr(browser, method.lower())(path, headers=headers)
            assert response.status_code == 403, f"{kind} {method} {path}"
    assert (await browsers["member"].get("/account/manage")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
        {},
    ],
    ids=str,
)
async def test_ones_own_pages_and_programs_pass(client: Browser, headers: dict[str, str]) -> None:
    person = await make_person()
    form = {"email": person.email, "password": PASSWORD}
    assert (await client.post("/account/login", form=form, headers=headers)).status_code == 303


async def test_a_bearer_token_without_cookies_passes_from_anywhere(app: Quart) -> None:
    person = await make_person()
    response = await app.test_client().post(
        "/api/v1/session", json={"email": person.email, "password": PASSWORD}
    )
    token = (await response.get_json())["token"]
    headers = {
        "Authorization": f"Bearer {token}",
        "Origin": "https://evil.example",
        "Sec-Fetch-Site": "cross-site",
    }
    assert (await app.test_client().delete("/api/v1/session", headers=headers)).status_code == 204


async def test_a_listed_origin_may_use_the_api_but_no_page(app: Quart, settings: object) -> None:
    settings.CORS_ORIGINS = ["https://shop.example"]  # type: ignore[attr-defined]
    person = await make_person()
    headers = {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}
    body = {"email": person.email, "password": PASSWORD}
    response = await app.test_client().post("/api/v1/session", json=body, headers=headers)
    assert response.status_code == 201
    assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert (
        await app.test_client().post("/account/login", form=body, headers=headers)
    ).status_code == 403
    preflight = await app.test_client().options("/api/v1/account", headers=headers)
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    other = await app.test_client().get(
        "/api/v1/account", headers={"Origin": "https://evil.example"}
    )
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_listed_origin_does_nothing_as_whoever_is_logged_in_here(
    app: Quart, settings: object
) -> None:
    settings.CORS_ORIGINS = ["https://shop.example"]  # type: ignore[attr-defined]
    browser = app.test_client()
    await log_in(browser, await make_person())
    headers = {"Origin": "https://shop.example", "Sec-Fetch-Site": "same-site"}
    change = {"first_name": "Ghost"}
    refused = await browser.patch("/api/v1/account", json=change, headers=headers)
    assert refused.status_code == 403
    by_token = headers | {"Authorization": f"Bearer {secret_of(browser)}"}
    done = await app.test_client().patch("/api/v1/account", json=change, headers=by_token)
    assert done.status_code == 200


def production(monkeypatch: pytest.MonkeyPatch, **more: str) -> Quart:
    values = {
        "SECRET_KEY": "k" * 32,
        "DATABASE_URL": "postgresql://localhost/nowhere",
        "REDIS_URL": "redis://localhost:1",
        "BASE_URL": "https://app.example.com",
    }
    for name, value in (values | more).items():
        monkeypatch.setenv(name, value)
    return create_app("production")


async def test_in_production_the_origin_is_base_urls_whatever_the_host_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = production(monkeypatch).test_client()

    async def status(origin: str, host: str) -> int:
        headers = {"Origin": origin, "Host": host}
        response = await client.post("/no-such-page", headers=headers, scheme="https")
        return response.status_code

    assert await status("https://app.example.com", "internal:8000") == 404
    assert await status("https://evil.example", "evil.example") == 403
    assert await status("http://app.example.com", "app.example.com") == 403


async def test_over_https_http_is_redirected_and_never_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = production(monkeypatch).test_client()
    response = await client.get(
        "/account/login?next=/a%20b", headers={"Host": "evil.example"}, scheme="http"
    )
    assert response.status_code == 308
    assert response.headers["Location"] == "https://app.example.com/account/login?next=/a%20b"
    response = await client.get("/account/login", scheme="https")
    assert "max-age=31536000" in response.headers["Strict-Transport-Security"]
    assert (await client.get("/livez", scheme="http")).status_code == 200


async def test_behind_a_proxy_that_ends_tls_pages_are_served_and_http_is_redirected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = production(monkeypatch, TRUSTED_PROXIES="1").test_client()

    async def status(proto: str, path: str = "/account/login") -> int:
        headers = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": proto}
        return (await client.get(path, headers=headers, scheme="http")).status_code

    assert await status("https") == 200
    assert await status("http") == 308
    assert await status("http", "/livez") == 200


async def test_the_redirect_to_https_leads_to_base_url_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = production(monkeypatch).test_client()
    for path in ("//evil.example/", "/\\evil.example", "//evil.example/%2e%2e", "@evil.example/"):
        response = await client.get(path, scheme="http")
        assert response.status_code in (400, 404)
        assert "Location" not in response.headers


async def test_cookies_are_locked_to_the_host_when_base_url_is_https(
    app: Quart, settings: object
) -> None:
    settings.BASE_URL = "https://localhost"  # type: ignore[attr-defined]
    person = await make_person()
    form = {"email": person.email, "password": PASSWORD}
    response = await app.test_client().post("/account/login", form=form, scheme="https")
    cookie = next(c for c in response.headers.getlist("Set-Cookie") if "session_testing=" in c)
    assert cookie.startswith("__Host-session_testing=")
    attributes = {part.strip() for part in cookie.split(";")[1:]}
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= attributes
    assert not any(attribute.startswith("Domain") for attribute in attributes)
