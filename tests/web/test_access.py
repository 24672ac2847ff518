"""Who gets in: every route, every kind of caller, and requests that another site makes."""

import logging
from uuid import uuid4

import pytest
from quart import Quart, url_for, websocket
from quart.testing import WebsocketResponseError
from quart.typing import TestClientProtocol as Browser
from werkzeug.routing import Rule

from app import create_app
from app.accounts import service
from app.web.access import Access, confirmed, declared, limit, public, signed_in, unlimited
from app.web.cross_site import SAFE_METHODS
from tests.factories.people import PASSWORD, log_in, make_person

# Values for the parameters of routes.
VALUES = {
    "filename": "app.css",
    "user_id": "1",
    "token": "nonsense",
    "name": "nonsense",
    "session_id": str(uuid4()),
}


def routes(app: Quart) -> list[tuple[str, str, Rule]]:
    """Every (method, path, rule) there is."""
    return [
        (method, built[1], rule)
        for rule in app.url_map.iter_rules()
        if (built := rule.build({name: VALUES[name] for name in rule.arguments}))
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
    ]


async def callers(app: Quart) -> dict[str, Browser]:
    """Return a browser for each kind of caller."""
    people = {
        "nobody": None,
        "unconfirmed": await make_person(confirmed=False),
        "member": await make_person(),
        "administrator": await make_person(role=service.ADMINISTRATOR),
    }
    browsers = {kind: app.test_client() for kind in people}
    for kind, person in people.items():
        if person:
            await log_in(browsers[kind], person)
    return browsers


def is_kept_from_the_unconfirmed(path: str, access: Access) -> bool:
    return (
        access.identify
        and not access.unconfirmed_too
        and not path.startswith(("/account/", "/api/"))
    )


async def test_every_route_lets_in_whom_it_declares_and_nobody_else(app: Quart) -> None:
    browsers = await callers(app)
    for method, path, rule in sorted(
        routes(app), key=lambda route: route[1].endswith(("logout", "session"))
    ):
        access, _ = declared(app.view_functions[rule.endpoint])
        assert access
        for kind, browser in browsers.items():
            if (
                access.signed_in
                and (path.endswith("logout") or method == "DELETE")
                and kind != "nobody"
            ):
                continue  # it would end the session that the rest of this test needs
            if path in ("/account/unconfirmed", "/account/confirm-account") and kind != "nobody":
                continue  # they send everybody on: see test_registration
            response = await getattr(browser, method.lower())(
                path, json={} if method == "POST" else None
            )
            refused = (
                (access.signed_in and kind == "nobody")
                or (access.confirmed and kind == "unconfirmed")
                or (is_kept_from_the_unconfirmed(path, access) and kind == "unconfirmed")
                or (access.permission > 1 and kind != "administrator")
                or (access.anonymous_only and kind != "nobody")
            )
            was_refused = response.status_code in (303, 401, 403) and not (
                (method, path) == ("POST", "/api/v1/session")
                # A form that was carried out leads on.
                or response.headers.get("Location", "").startswith(("/docs", "/account/sessions"))
            )
            assert was_refused is refused, f"{kind} {method} {path}: {response.status_code}"


async def test_a_role_that_is_taken_away_is_gone_at_the_next_request(app: Quart) -> None:
    from sqlalchemy import update

    from app.auth.models import User
    from app.database import db

    browser = app.test_client()
    person = await make_person(role=service.ADMINISTRATOR)
    await log_in(browser, person)
    assert (await browser.get("/admin")).status_code == 200
    async with db.transaction() as session:
        role = await service.role_named(session, service.USER)
        await session.execute(update(User).where(User.id == person.id).values(role_id=role.id))
    assert (await browser.get("/admin")).status_code == 403


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9999"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "cross-site", "Authorization": "Bearer x", "Cookie": "session=x"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_no_unsafe_request_from_another_site_gets_through(
    app: Quart, headers: dict[str, str]
) -> None:
    """Include log-in and log-out."""
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
    for path in ("//evil.example/", "/\\evil.example", "//evil.example/%2e%2e"):
        response = await client.get(path, scheme="http")
        assert response.headers["Location"].startswith("https://app.example.com/")
        assert not response.headers["Location"].startswith("https://app.example.com//")


@pytest.mark.parametrize("rule", ["PAGE_LIMITS", "often"])
def test_a_limit_that_does_not_exist_is_a_mistake_at_once(rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        limit(rule)


# Written out, so that weakening one of them is noticed.
EXPECTED = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src "
        "'self'; "
        "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def test_every_answer_has_the_security_headers(app: Quart, settings: object) -> None:
    """Include static files, 404, 405, 413 and 500."""
    browsers = await callers(app)

    @unlimited
    @public
    async def broken() -> str:
        raise RuntimeError("as planned")

    app._got_first_request = False
    app.add_url_rule("/test-broken", "test_broken", broken)
    requests: list[tuple[str, str, dict[str, bytes]]] = [
        (method, path, {}) for method, path, _ in routes(app)
    ]
    requests += [
        ("GET", "/no-such-page", {}),
        ("PATCH", "/", {}),
        ("POST", "/account/login", {"data": b"x" * 70_000}),
    ]
    seen = set()
    for kind in ("nobody", "administrator"):
        for method, path, more in requests:
            response = await getattr(browsers[kind], method.lower())(path, **more)
            seen.add(response.status_code)
            for name, value in EXPECTED.items():
                assert response.headers.get(name) == value, f"{method} {path}"
            assert len(response.headers["X-Request-Id"]) == 32
            assert "Server" not in response.headers
    app.view_functions.pop("test_broken")
    assert {200, 303, 401, 404, 405, 413, 500} <= seen


async def test_cookies_are_locked_to_the_host_when_base_url_is_https(
    app: Quart, settings: object
) -> None:
    settings.BASE_URL = "https://localhost"  # type: ignore[attr-defined]
    person = await make_person()
    form = {"email": person.email, "password": PASSWORD}
    response = await app.test_client().post("/account/login", form=form, scheme="https")
    cookie = next(c for c in response.headers.getlist("Set-Cookie") if "session=" in c)
    assert cookie.startswith("__Host-session=")
    attributes = {part.strip() for part in cookie.split(";")[1:]}
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= attributes
    assert not any(attribute.startswith("Domain") for attribute in attributes)


async def test_a_route_that_declares_nothing_is_refused(
    app: Quart, caplog: pytest.LogCaptureFixture
) -> None:
    async def forgotten() -> str:
        return "secret"

    app._got_first_request = False
    app.add_url_rule("/test-forgotten", "test_forgotten", forgotten)
    app.add_url_rule("/test-no-limit", "test_no_limit", public(forgotten))
    client = app.test_client()
    with caplog.at_level(logging.ERROR):
        for path in ("/test-forgotten", "/test-no-limit"):
            response = await client.get(path)
            assert response.status_code == 403
            assert "secret" not in await response.get_data(as_text=True)
    assert "declares no access or no limit" in caplog.text
    del app.view_functions["test_forgotten"], app.view_functions["test_no_limit"]


async def test_a_limit_is_kept_for_each_person_or_address(app: Quart, settings: object) -> None:
    settings.PAGE_LIMIT = "3/minute"  # type: ignore[attr-defined]
    client = app.test_client()
    statuses = [(await client.get("/")).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    elsewhere = await client.get("/", scope_base={"client": ("192.0.2.9", 1)})
    assert elsewhere.status_code == 200
    response = await client.get("/")
    assert 0 < int(response.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    "path", ["/", "/account/login", "/openapi.json", "/livez", "/static/app.css", "/nope"]
)
async def test_no_page_can_be_had_by_websocket(app: Quart, path: str) -> None:
    with pytest.raises(WebsocketResponseError) as raised:
        async with app.test_client().websocket(path) as connection:
            await connection.receive()
    assert raised.value.response.status_code in (400, 404)


async def test_a_websocket_opens_for_whom_it_declares_and_never_for_other_sites(app: Quart) -> None:
    async def echo() -> None:
        await websocket.send("open")

    async def forgotten() -> None:
        await websocket.send("open")

    async def private() -> None:
        await websocket.send("open")

    app._got_first_request = False
    app.add_websocket("/test-echo", "test_echo", limit("2/minute")(public(echo)))
    app.add_websocket("/test-forgotten-ws", "test_forgotten_ws", forgotten)
    app.add_websocket("/test-private", "test_private", unlimited(signed_in(private)))

    async def opened(path: str, **headers: str) -> bool:
        try:
            async with app.test_client().websocket(path, headers=headers) as connection:
                return await connection.receive() == "open"
        except WebsocketResponseError:
            return False

    assert await opened("/test-echo")
    assert not await opened("/test-echo", Origin="https://evil.example")
    assert await opened("/test-echo", Origin="http://localhost")
    assert not await opened("/test-echo"), "beyond its limit"
    assert not await opened("/test-forgotten-ws")
    assert not await opened("/test-private")
    for name in ("test_echo", "test_forgotten_ws", "test_private"):
        app.view_functions[name] = unlimited(public(app.view_functions[name]))


async def test_unconfirmed_people_are_kept_out_where_confirmation_is_asked_for(app: Quart) -> None:
    async def members() -> str:
        return "in"

    app._got_first_request = False
    app.add_url_rule("/test-confirmed", "test_confirmed", unlimited(confirmed(members)))
    app.add_url_rule("/api/test-confirmed", "test_confirmed")
    for is_confirmed, page, api in ((True, 200, 200), (False, 303, 403)):
        client = app.test_client()
        await log_in(client, await make_person(confirmed=is_confirmed))
        assert (await client.get("/test-confirmed")).status_code == page
        response = await client.get("/api/test-confirmed")
        assert response.status_code == api
    assert (await response.get_json())["code"] == "not-confirmed"


async def test_what_host_says_decides_nothing(app: Quart) -> None:
    async with app.test_request_context("/", headers={"Host": "evil.example"}):
        assert url_for("site.home", _external=True) == "http://localhost/"


async def test_asking_for_nothing_again_and_again_is_limited_as_well(
    app: Quart, settings: object
) -> None:
    settings.PAGE_LIMIT = "2/minute"  # type: ignore[attr-defined]
    client = app.test_client()
    assert [(await client.get("/no-such-page")).status_code for _ in range(3)] == [404, 404, 429]


async def test_a_page_that_does_not_exist_still_knows_who_is_there(client: Browser) -> None:
    await log_in(client, await make_person(first_name="Alexis"))
    response = await client.get("/no-such-page")
    page = await response.get_data(as_text=True)
    assert response.status_code == 404
    assert "Log out" in page
