"""A path has one spelling, and a request without one is refused."""

from typing import Any
from urllib.parse import unquote

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.web.middleware.paths import OneSpelling

# Of /account/manage, which redirects to log in.
OTHERS = (
    "//account/manage",
    "///account/manage",
    "/account//manage",
    "/account/manage//",
    "/./account/manage",
    "/account/./manage",
    "/account/manage/.",
    "/account/x/../manage",
    "/account/../account/manage",
    "/static/../account/manage",
    "/..",
    "/%2e/account/manage",
    "/x/%2e%2e/account/manage",
    "/x/.%2E/account/manage",
    "/%2faccount/manage",
    "/%2Faccount/manage",
    "/account%2fmanage",
    "/%5caccount/manage",
    "/account%5Cmanage",
    "/\\account/manage",
    "/account\\manage",
    "/%61ccount/manage",
    "/%41ccount/manage",
    "/account/m%61nage",
    "/account/manage/change%2dpassword",
    "/account/manage/%7e",
    "/%00account/manage",
    "/account/manage%00",
    "/account/manage%0a",
    "/account%20/manage/%7f",
)
# Of no page: routes tell capitals, parameters and what is encoded twice apart.
ELSEWHERE = (
    "/ACCOUNT/manage",
    "/account/Manage",
    "/account;x=y/manage",
    "/account/manage;x=y",
    "/account/..;/account/manage",
    "/%2561ccount/manage",
    "/%252faccount/manage",
    "/account/manage%20",
    "/account/manage%3f",
    "/account/manage%23x",
    "/%ef%bc%8faccount/manage",  # a slash in full width
    "/%c0%afaccount/manage",  # a slash in more bytes than UTF-8 allows
)


async def spoken(client: Browser, raw_path: str, **scope: Any) -> int:
    """Send a request target exactly as it is written; return the status."""
    base: dict[str, Any] = {"raw_path": raw_path.encode(), "path": unquote(raw_path)} | scope
    return (await client.get("/", scope_base=base)).status_code


async def test_the_page_itself_is_served(client: Browser) -> None:
    assert await spoken(client, "/account/manage") == 303


@pytest.mark.parametrize("path", OTHERS)
async def test_another_spelling_is_not_found(client: Browser, path: str) -> None:
    assert await spoken(client, path) == 404


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_what_only_looks_alike_is_not_found(client: Browser, path: str) -> None:
    assert await spoken(client, path) == 404


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/account/manage", 303),
        ("HTTP://localhost:80/account/manage", 303),
        ("https://[::1]/account/manage", 303),
        ("http://localhost/livez", 200),
        ("http://localhost//account/manage", 404),
        ("http://localhost/x/../account/manage", 404),
        ("http://localhost/account/manage;x", 404),
        ("http://localhost/account/manage#x", 404),
        ("http:///account/manage", 400),
        ("http://[/account/manage", 400),
        ("http://somebody@localhost/account/manage", 400),
        ("http://a b/account/manage", 400),
        ("ftp://localhost/account/manage", 400),
        ("account/manage", 400),
        ("", 400),
        ("*", 400),
        ("localhost:80", 400),
    ],
)
async def test_a_request_target_that_is_absolute_or_no_path(
    client: Browser, target: str, status: int
) -> None:
    assert await spoken(client, target) == status


async def test_http2_knows_no_absolute_target(client: Browser) -> None:
    assert await spoken(client, "http://localhost/account/manage", http_version="2") == 400
    assert await spoken(client, "/account/manage", http_version="2") == 303


async def test_an_absolute_target_says_which_host_is_meant(app: Quart) -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "raw_path": b"http://named.example:81/a%20b",
        "path": "http://named.example:81/a b",
        "headers": [(b"host", b"other.example"), (b"x", b"y")],
    }
    nothing: Any = None
    await OneSpelling(inner, app.extensions["settings"])(scope, nothing, nothing)  # type: ignore[arg-type]
    [scope] = seen
    assert (scope["raw_path"], scope["path"]) == (b"/a%20b", "/a b")
    assert scope["headers"] == [(b"host", b"named.example:81"), (b"x", b"y")]


async def test_a_websocket_is_refused_alike(app: Quart) -> None:
    sent: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it is not to be served")

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {"type": "websocket", "http_version": "1.1", "raw_path": b"//x", "path": "//x"}
    nothing: Any = None
    await OneSpelling(inner, app.extensions["settings"])(scope, nothing, send)  # type: ignore[arg-type]
    assert sent[0]["type"] == "websocket.http.response.start"
    assert sent[0]["status"] == 404


async def test_encoded_words_are_served(client: Browser) -> None:
    """Blanks, letters of other scripts and reserved characters have to be encoded, or may be."""
    for path in ("/static/a%20b", "/static/%C3%BC", "/static/a%40b", "/static/a@b", "/static/a..b"):
        response = await client.get("/", scope_base={"raw_path": path.encode(), "path": path})
        assert "stylesheet" in await response.get_data(as_text=True), "the application's own page"
