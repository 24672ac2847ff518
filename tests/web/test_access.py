"""Who gets in: every route, every kind of caller."""

import logging
from urllib.parse import urlsplit

import pytest
from quart import Quart, url_for, websocket
from quart.testing import WebsocketResponseError
from quart.typing import TestClientProtocol as Browser

from app.accounts import roles
from app.auth.models import Permission
from app.web.access import (
    Access,
    confirmed,
    declared,
    limit,
    public,
    signed_in,
    unlimited,
)
from app.web.destinations import home_url, sign_in_url
from tests.factories.people import log_in, make_person
from tests.web.callers import callers, routes


def is_kept_from_the_unconfirmed(path: str, access: Access) -> bool:
    return (
        access.identify
        and not access.unconfirmed_too
        and not path.startswith(("/account/", "/api/"))
    )


def those_who_have(permission: Permission | str) -> set[str]:
    if not permission:
        return {"nobody", "unconfirmed", "member", "editor", "administrator"}
    return {"editor", "administrator"} if isinstance(permission, str) else {"administrator"}


async def test_every_route_lets_in_whom_it_declares_and_nobody_else(app: Quart) -> None:
    browsers = await callers(app)
    async with app.test_request_context("/"):
        login, unconfirmed, home = sign_in_url("login"), sign_in_url("unconfirmed"), home_url()
    for method, path, rule in sorted(
        routes(app), key=lambda route: route[1].endswith(("logout", "session"))
    ):
        access, _ = declared(app.view_functions[rule.endpoint])
        assert access
        gates = {login, unconfirmed} | ({home} if access.anonymous_only else set())
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
                or kind not in those_who_have(access.permission)
                or (access.anonymous_only and kind != "nobody")
            )
            # Other redirects say that a form was carried out.
            location = urlsplit(response.headers.get("Location", "")).path
            was_refused = (
                response.status_code in (401, 403) and (method, path) != ("POST", "/api/v1/session")
            ) or (response.status_code == 303 and location in gates)
            assert was_refused is refused, f"{kind} {method} {path}: {response.status_code}"


async def test_a_role_that_is_taken_away_is_gone_at_the_next_request(app: Quart) -> None:
    from sqlalchemy import update

    from app.auth.models import User
    from app.database import db

    browser = app.test_client()
    person = await make_person(role=roles.ADMINISTRATOR)
    await log_in(browser, person)
    assert (await browser.get("/admin")).status_code == 200
    async with db.transaction() as session:
        role = await roles.role_of(session, roles.USER)
        await session.execute(update(User).where(User.id == person.id).values(role_id=role.id))
    assert (await browser.get("/admin")).status_code == 403


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("PAGE_LIMITS", "no setting PAGE_LIMITS"),
        ("APP_NAME", "APP_NAME is not a rate limit"),
        ("often", "not a rate limit"),
        ("0/minute", "from 1 to"),
        ("10/minute;100/minute", "no effect"),
    ],
)
def test_a_limit_that_cannot_be_kept_is_a_mistake_at_once(rule: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
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


async def test_every_answer_has_the_security_headers(own_app: Quart, settings: object) -> None:
    """Static files, 404, 405, 413 and 500 included."""

    @unlimited
    @public
    async def broken() -> str:
        raise RuntimeError("as planned")

    own_app.add_url_rule("/test-broken", "test_broken", broken)
    browsers = await callers(own_app)
    requests: list[tuple[str, str, dict[str, bytes]]] = [
        (method, path, {}) for method, path, _ in routes(own_app)
    ]
    requests += [
        ("GET", "/no-such-page", {}),
        ("PATCH", "/account/login", {}),
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
    assert {200, 303, 401, 404, 405, 413, 500} <= seen


async def test_a_route_that_declares_nothing_is_refused(
    own_app: Quart, caplog: pytest.LogCaptureFixture
) -> None:
    async def forgotten() -> str:
        return "secret"

    own_app.add_url_rule("/test-forgotten", "test_forgotten", forgotten)
    own_app.add_url_rule("/test-no-limit", "test_no_limit", public(forgotten))
    client = own_app.test_client()
    with caplog.at_level(logging.ERROR):
        for path in ("/test-forgotten", "/test-no-limit"):
            response = await client.get(path)
            assert response.status_code == 403
            assert "secret" not in await response.get_data(as_text=True)
    assert "declares no access or no limit" in caplog.text


async def test_a_limit_is_kept_for_each_person_or_address(app: Quart, settings: object) -> None:
    settings.PAGE_LIMIT = "3/minute"  # type: ignore[attr-defined]
    client = app.test_client()
    statuses = [(await client.get("/docs")).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    elsewhere = await client.get("/docs", scope_base={"client": ("192.0.2.9", 1)})
    assert elsewhere.status_code == 200
    response = await client.get("/docs")
    assert 0 < int(response.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    "path", ["/", "/account/login", "/openapi.json", "/livez", "/static/app.css", "/nope"]
)
async def test_no_page_can_be_had_by_websocket(app: Quart, path: str) -> None:
    with pytest.raises(WebsocketResponseError) as raised:
        async with app.test_client().websocket(path) as connection:
            await connection.receive()
    assert raised.value.response.status_code in (400, 404)


async def test_a_websocket_opens_for_whom_it_declares_and_never_for_other_sites(
    own_app: Quart,
) -> None:
    async def echo() -> None:
        await websocket.send("open")

    async def forgotten() -> None:
        await websocket.send("open")

    async def private() -> None:
        await websocket.send("open")

    own_app.add_websocket("/test-echo", "test_echo", limit("2/minute")(public(echo)))
    own_app.add_websocket("/test-forgotten-ws", "test_forgotten_ws", forgotten)
    own_app.add_websocket("/test-private", "test_private", unlimited(signed_in(private)))

    async def opened(path: str, **headers: str) -> bool:
        try:
            async with own_app.test_client().websocket(path, headers=headers) as connection:
                return await connection.receive() == "open"
        except WebsocketResponseError:
            return False

    assert await opened("/test-echo")
    assert not await opened("/test-echo", Origin="https://evil.example")
    assert await opened("/test-echo", Origin="http://LOCALHOST:80")
    assert not await opened("/test-echo"), "beyond its limit"
    assert not await opened("/test-forgotten-ws")
    assert not await opened("/test-private")


async def test_unconfirmed_people_are_kept_out_where_confirmation_is_asked_for(
    own_app: Quart,
) -> None:
    async def members() -> str:
        return "in"

    own_app.add_url_rule("/test-confirmed", "test_confirmed", unlimited(confirmed(members)))
    own_app.add_url_rule("/api/test-confirmed", "test_confirmed")
    for is_confirmed, page, api in ((True, 200, 200), (False, 303, 403)):
        client = own_app.test_client()
        await log_in(client, await make_person(confirmed=is_confirmed))
        assert (await client.get("/test-confirmed")).status_code == page
        response = await client.get("/api/test-confirmed")
        assert response.status_code == api
    assert (await response.get_json())["code"] == "not-confirmed"


async def test_what_host_says_decides_nothing(app: Quart) -> None:
    async with app.test_request_context("/", headers={"Host": "evil.example"}):
        assert url_for("docs.index", _external=True) == "http://localhost/docs"


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
