"""Requests that are too large, malformed, or hold text that no database stores."""

import asyncio
import json
from urllib.parse import quote

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.config import Config
from tests.factories.people import log_in, make_person
from tests.web.callers import callers, routes

DEEP = b"[" * 60_000
HUGE = b"1" + b"0" * 400

BAD_JSON = {
    "invalid utf-8": b'{"email": "\xff\xfe", "password": "x"}',
    "deep nesting": DEEP,
    "deep object": b'{"a":' * 12_000,
    "NUL": b'{"email": "a\\u0000@example.com", "password": "x"}',
    "NUL in a key": b'{"em\\u0000ail": "a@example.com"}',
    "lone surrogate": b'{"email": "a\\ud800@example.com", "password": "x"}',
    "lone surrogate in a password": b'{"email": "a@example.com", "password": "\\udfff"}',
    "10^30": b'{"email": "a@example.com", "password": 1' + b"0" * 30 + b"}",
    "a number of 400 digits": b'{"email": "a@example.com", "password": ' + HUGE + b"}",
    "1e999": b'{"email": "a@example.com", "password": 1e999}',
    "NaN": b'{"email": NaN}',
    "Infinity": b'{"email": -Infinity}',
    "a list": b"[]",
    "a string": b'"text"',
    "null": b"null",
    "nothing": b"",
    "half": b'{"email": "a',
}

BAD_FORMS = {
    "invalid utf-8": b"email=%ff%fe&password=x",
    "raw invalid utf-8": b"email=\xff\xfe&password=x",
    "NUL": b"email=a%00@example.com&password=x",
    "NUL in a key": b"em%00ail=a@example.com",
    "surrogate": b"email=a%ed%a0%80@example.com&password=x",
    "the same field twice": b"email=a@example.com&email=b@example.com&password=x",
    "10^30": b"email=1" + b"0" * 30 + b"&password=x",
    "nothing": b"",
}

BAD_QUERIES = [
    "?next=%00",
    "?%00=1",
    "?next=%ff%fe",
    "?q=" + "9" * 400,
    "?cursor=%ed%a0%80",
    "?" + "a=1&" * 500,
]


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
async def test_bad_json_is_the_senders_mistake_on_every_endpoint(app: Quart, body: bytes) -> None:
    browsers = await callers(app)
    for method, path, _ in routes(app):
        for kind in ("nobody", "member"):
            response = await getattr(browsers[kind], method.lower())(
                path, data=body, headers={"Content-Type": "application/json"}
            )
            assert response.status_code < 500, f"{kind} {method} {path}: {response.status_code}"
    response = await app.test_client().post(
        "/api/v1/session", data=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code in (400, 422)
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(
    "name", ["NUL", "lone surrogate in a password", "10^30", "1e999", "NaN", "deep nesting"]
)
async def test_what_nobody_can_store_is_refused_before_it_is_looked_at(
    client: Browser, name: str
) -> None:
    """Expect the check of the body (400), not a chance finding of the schema (422)."""
    response = await client.post(
        "/api/v1/session", data=BAD_JSON[name], headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400


@pytest.mark.parametrize(("number", "status"), [("7.0", 201), ("7e0", 201), ("7.5", 422)])
async def test_a_number_without_a_fraction_is_an_integer(
    client: Browser, number: str, status: int
) -> None:
    await log_in(client, await make_person())
    response = await client.post(
        "/api/v1/account/tokens",
        data=f'{{"name": "A", "scopes": ["read"], "expires_in_days": {number}}}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == status


@pytest.mark.parametrize("many", [[0] * 2001, [[0] * 1000] * 2, {str(n): 0 for n in range(2001)}])
async def test_json_of_more_values_than_any_operation_takes_is_refused(
    client: Browser, many: object
) -> None:
    answer = await client.post("/api/v1/session", json={"email": many})
    assert answer.status_code == 400
    assert "more than 2,000 values" in (await answer.get_json())["detail"]


async def test_a_query_string_of_more_parameters_than_any_list_has_is_refused(
    client: Browser,
) -> None:
    answer = await client.get("/api/v1/pages/about?" + "a=1&" * 100)
    assert answer.status_code == 400
    assert (await client.get("/api/v1/account?" + "a=1&" * 99)).status_code != 400


@pytest.mark.parametrize("query", ["?next=%00", "?%00=1"])
async def test_a_query_string_that_nobody_can_store_is_refused(client: Browser, query: str) -> None:
    assert (await client.get(f"/account/login{query}")).status_code == 400


async def test_the_headers_that_broke_things_break_nothing(app: Quart) -> None:
    client = app.test_client(use_cookies=False)  # the test client's own jar cannot read such hosts
    person = await make_person()
    body = {"email": person.email, "password": person.password}
    for headers in ({"Host": "["}, {"Host": "[::1"}, {"Host": "a b"}):
        assert (await client.post("/api/v1/session", json=body, headers=headers)).status_code == 201
    assert (
        await client.post("/api/v1/session", json=body, headers={"Origin": "http://["})
    ).status_code == 403
    for value in ("bytes=-1", "bytes=0-1", "bytes=9-1", "bytes=x"):
        assert (await client.get("/static/app.css", headers={"Range": value})).status_code == 200
    assert (await client.get("/static/" + "a" * 5000)).status_code == 404


async def test_a_body_that_grows_too_large_while_it_is_read_is_no_body_that_ends(
    app: Quart,
) -> None:
    """Send chunked multipart slowly, with valid fields first and too much after them."""
    head = b'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\na@example.com\r\n'
    head += b'--b\r\nContent-Disposition: form-data; name="password"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with app.test_client().request(
        "/account/login", method="POST", headers=headers
    ) as connection:
        await connection.send(head)
        for _ in range(3):
            await asyncio.sleep(0.01)
            await connection.send(b"x" * 40_000)
        await connection.send_complete()
    response = await connection.as_response()
    assert response.status_code == 413


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("body", BAD_FORMS.values(), ids=BAD_FORMS.keys())
async def test_bad_forms_are_the_senders_mistake_on_every_page(app: Quart, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for method, path, _ in routes(app):
        response = await getattr(app.test_client(), method.lower())(
            path, data=body, headers=headers
        )
        assert response.status_code < 500, f"{method} {path}: {response.status_code}"
    response = await app.test_client().post("/account/login", data=body, headers=headers)
    assert response.status_code in (400, 422)


@pytest.mark.parametrize("query", BAD_QUERIES)
async def test_bad_query_strings_are_never_our_mistake(app: Quart, query: str) -> None:
    for method, path, _ in routes(app):
        if method in ("GET", "HEAD"):
            response = await getattr(app.test_client(), method.lower())(path + query)
            assert response.status_code < 500 or path == "/readyz", (
                f"{method} {path}{query}: {response.status_code}"
            )


@pytest.mark.parametrize(
    "path", ["/%00", "/admin/%ff", "/static/%00", "/docs/assets/%00", "/" + quote("ü" * 3000)]
)
async def test_bad_paths_are_never_our_mistake(client: Browser, path: str) -> None:
    assert (await client.get(path)).status_code in (400, 404, 414)


@pytest.mark.parametrize(
    "header", ["Authorization", "Cookie", "Host", "Origin", "X-Forwarded-For", "Accept", "Range"]
)
@pytest.mark.parametrize(
    "value",
    ["\xff\xfe", "Bearer \xe4", "session_testing=\xff", "bytes=9-1", "a" * 5000, "Bearer", "=;;="],
)
async def test_bad_headers_are_never_our_mistake(client: Browser, header: str, value: str) -> None:
    for path in ("/", "/api/v1/account", "/static/app.css"):
        response = await client.get(path, headers={header: value})
        assert response.status_code < 500


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_the_api_takes_json_and_says_so(client: Browser, kind: str) -> None:
    response = await client.post(
        "/api/v1/session", data=b"{}", headers={"Content-Type": kind} if kind else {}
    )
    assert response.status_code == 415
    assert "application/json" in (await response.get_json())["detail"]


async def test_pages_take_forms_and_say_so(client: Browser) -> None:
    response = await client.post("/account/login", json={"email": "a@example.com"})
    assert response.status_code == 415


@pytest.mark.parametrize(
    ("path", "limit"), [("/account/login", 64 * 1024), ("/api/v1/session", 64 * 1024)]
)
async def test_an_account_form_is_small(client: Browser, path: str, limit: int) -> None:
    at, over = b'{"x":"' + b"a" * (limit - 8) + b'"}', b'{"x":"' + b"a" * (limit - 7) + b'"}'
    headers = {
        "Content-Type": "application/json" if "api" in path else "application/x-www-form-urlencoded"
    }
    assert (await client.post(path, data=at, headers=headers)).status_code in (400, 422)
    assert (await client.post(path, data=over, headers=headers)).status_code == 413


async def test_more_fields_than_a_form_has_are_refused(client: Browser, settings: Config) -> None:
    fields = "&".join(f"f{n}=1" for n in range(settings.MAX_FORM_PARTS))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (
        await client.post("/account/login", data=fields.encode(), headers=headers)
    ).status_code == 422
    assert (
        await client.post("/account/login", data=f"{fields}&g=1".encode(), headers=headers)
    ).status_code == 413


async def test_more_parts_than_a_form_has_are_refused(client: Browser, settings: Config) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="f{}"\r\n\r\n1\r\n'
    body = "".join(part.format(n) for n in range(settings.MAX_FORM_PARTS + 1)) + "--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert (
        await client.post("/account/login", data=body.encode(), headers=headers)
    ).status_code == 413


async def test_a_password_of_ten_megabytes_is_refused_before_it_is_hashed(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    verify = app.extensions["passwords"].verify

    async def watched(password_hash: str | None, password: str) -> bool:
        hashed.append(len(password))
        return bool(await verify(password_hash, password))

    monkeypatch.setattr(app.extensions["passwords"], "verify", watched)
    for length, status in ((10 * 1024 * 1024, 413), (129, 422), (128, 401)):
        body = json.dumps({"email": "a@example.com", "password": "x" * length})
        headers = {"Content-Type": "application/json"}
        response = await app.test_client().post(
            "/api/v1/session", data=body.encode(), headers=headers
        )
        assert response.status_code == status
    assert hashed == [128]
