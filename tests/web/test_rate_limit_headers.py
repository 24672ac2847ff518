"""The rate limit of a route in its answers: RateLimit and RateLimit-Policy."""

import re
from pathlib import Path

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from redis.asyncio import Redis
from werkzeug.datastructures import Headers

from app.config import Config
from app.limits import UNKNOWN_IP_FACTOR, Limits
from app.redis import redis
from app.web.access import declared, limit, public
from tests.factories.people import PASSWORD, log_in, make_person
from tests.web.callers import callers, routes

ACCOUNT = "/api/v1/account"  # 401 without a session, and counted by ip


def policies(headers: Headers) -> dict[str, tuple[int, int]]:
    """Return the quota and the seconds of each policy."""
    return parsed(headers["RateLimit-Policy"], r'"([a-z0-9-]+)";q=(\d+);w=(\d+)')


def left(headers: Headers) -> dict[str, tuple[int, int]]:
    """Return what remains of each policy, and the seconds to its reset."""
    return parsed(headers["RateLimit"], r'"([a-z0-9-]+)";r=(\d+);t=(\d+)')


def parsed(value: str, item: str) -> dict[str, tuple[int, int]]:
    found = [re.fullmatch(item, each) for each in value.split(", ")]
    assert all(found), value
    return {each[1]: (int(each[2]), int(each[3])) for each in found if each}


async def remaining(browser: Browser, path: str = ACCOUNT, **more: object) -> int:
    """Ask for a path that has one policy; return how many requests remain."""
    [(room, _)] = left((await browser.get(path, **more)).headers).values()
    return room


async def test_the_values_count_down_and_say_when_the_first_hit_leaves(
    client: Browser, settings: Config
) -> None:
    settings.API_LIMIT = "4 per 5 minutes"
    for room in (3, 2, 1, 0):
        headers = (await client.get(ACCOUNT)).headers
        assert policies(headers) == {"api-5-minutes": (4, 300)}
        assert left(headers).keys() == {"api-5-minutes"}
        assert left(headers)["api-5-minutes"][0] == room
        assert 0 < left(headers)["api-5-minutes"][1] <= 300


async def test_a_refused_request_says_what_is_full(client: Browser, settings: Config) -> None:
    settings.API_LIMIT = "2/minute;5/hour"
    for _ in range(2):
        assert (await client.get(ACCOUNT)).status_code == 401
    for _ in range(2):
        response = await client.get(ACCOUNT)
        assert response.status_code == 429
        assert policies(response.headers) == {"api-minute": (2, 60), "api-hour": (5, 3600)}
        room, reset = left(response.headers)["api-minute"]
        assert room == 0
        assert str(reset) == response.headers["Retry-After"]
        room, reset = left(response.headers)["api-hour"]
        assert room == 3, "a refused request takes nothing of it"
        assert 3000 < reset <= 3600


async def test_processes_count_together(app: Quart, own_app: Quart) -> None:
    browsers = [app.test_client(), own_app.test_client()] * 3
    rooms = [await remaining(browser) for browser in browsers]
    assert rooms == list(range(299, 293, -1))


async def test_a_person_has_one_count_wherever_they_are(app: Quart) -> None:
    person, browser, elsewhere = await make_person(), app.test_client(), app.test_client()
    await log_in(browser, person)
    await log_in(elsewhere, person)
    other = {"client": ("192.0.2.9", 1)}
    before = await remaining(browser)
    assert await remaining(elsewhere, scope_base=other) == before - 1
    assert await remaining(app.test_client(), scope_base=other) == 299, "nobody, from there"
    await log_in(somebody := app.test_client(), await make_person())
    assert await remaining(somebody) == 299


async def test_clients_without_a_known_ip_see_the_quota_they_have(client: Browser) -> None:
    response = await client.get(ACCOUNT, scope_base={"client": ("", 1)})
    quota = 300 * UNKNOWN_IP_FACTOR
    assert policies(response.headers) == {"api-minute": (quota, 60)}
    assert left(response.headers)["api-minute"][0] == quota - 1


async def test_without_redis_the_process_says_what_it_counts(
    app: Quart, client: Browser, settings: Config, tmp_path: Path
) -> None:
    nobody = Redis(unix_socket_path=str(tmp_path / "nobody"))
    app.extensions["limits"] = Limits(nobody, settings.redis_key("limits"))
    settings.API_LIMIT = "2/minute;5/hour"
    found = []
    for _ in range(3):
        response = await client.get(ACCOUNT)
        rooms = {name: room for name, (room, _) in left(response.headers).items()}
        found.append((response.status_code, rooms))
    assert found == [
        (401, {"api-minute": 1, "api-hour": 4}),
        (401, {"api-minute": 0, "api-hour": 3}),
        (429, {"api-minute": 0, "api-hour": 3}),
    ]
    assert left(response.headers)["api-minute"][1] == int(response.headers["Retry-After"])


async def test_a_redis_that_was_restarted_counts_from_the_first_request_on(client: Browser) -> None:
    for room in (299, 298):
        await redis.script_flush()
        assert await remaining(client) == room


async def test_every_route_of_the_api_has_the_headers_and_no_page(
    app: Quart, settings: Config
) -> None:
    """Whatever the answer is: what was asked for, 401, 403, 404 from the view, 422."""
    settings.API_LIMIT = settings.STRENGTH_LIMIT = "1000/minute"
    answers: dict[bool, set[int]] = {True: set(), False: set()}
    browsers = await callers(app)
    ends = ("logout", "/session")  # their session, which the others need
    for method, path, rule in sorted(routes(app), key=lambda route: route[1].endswith(ends)):
        _, declared_limit = declared(app.view_functions[rule.endpoint])
        expected = bool(declared_limit) and path.startswith(("/api/", "/openapi.json"))
        for kind in ("nobody", "member", "administrator"):
            body: dict[str, str] | None = {} if method in ("POST", "PUT", "PATCH") else None
            response = await getattr(browsers[kind], method.lower())(path, json=body)
            for name in ("RateLimit", "RateLimit-Policy"):
                assert (name in response.headers) is expected, f"{kind} {method} {path}"
            answers[expected].add(response.status_code)
    assert answers[True] >= {200, 204, 401, 403, 404, 422}
    assert answers[False] >= {200, 303, 403, 404}


async def test_what_is_no_route_has_none(client: Browser) -> None:
    for path in ("/api/v1/no-such-route", "/no-such-page"):
        response = await client.get(path)
        assert response.status_code == 404
        assert "RateLimit" not in response.headers
    assert "RateLimit" not in (await client.options(ACCOUNT)).headers


async def test_a_mistake_of_ours_and_a_rule_in_the_code_have_them(own_app: Quart) -> None:
    @own_app.get("/api/v1/broken")
    @public
    @limit("10/minute;2 per 3 seconds")
    async def broken() -> str:
        raise RuntimeError

    own_app.config["PROPAGATE_EXCEPTIONS"] = False
    response = await own_app.test_client().get("/api/v1/broken")
    assert response.status_code == 500
    assert policies(response.headers) == {
        "10-minute-2-per-3-seconds-minute": (10, 60),
        "10-minute-2-per-3-seconds-3-seconds": (2, 3),
    }
    assert left(response.headers)["10-minute-2-per-3-seconds-minute"][0] == 9


async def test_limits_that_count_separately_have_names_of_their_own(client: Browser) -> None:
    assert await remaining(client) == 299
    response = await client.post("/api/v1/password-strength", json={"password": "x"})
    assert policies(response.headers) == {"strength-minute": (600, 60)}
    assert left(response.headers)["strength-minute"][0] == 599
    assert await remaining(client) == 298


async def test_nothing_is_said_of_how_often_a_password_may_be_guessed(
    client: Browser, settings: Config
) -> None:
    person = await make_person()
    settings.LOGIN_LIMIT_ACCOUNT_ADDRESS = "2/hour"
    body = {"email": person.email, "password": PASSWORD + "!"}
    statuses = []
    for room in (299, 298, 297, 296):
        response = await client.post("/api/v1/session", json=body)
        statuses.append(response.status_code)
        assert policies(response.headers) == {"api-minute": (300, 60)}
        assert left(response.headers)["api-minute"][0] == room
    assert statuses == [401, 401, 429, 429]


async def test_pages_of_a_listed_origin_may_read_them(client: Browser, settings: Config) -> None:
    settings.CORS_ORIGINS = ["https://shop.example"]
    headers = {"Origin": "https://shop.example"}
    response = await client.get(ACCOUNT, headers=headers)
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert {
        "ETag",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "X-Request-Id",
        "WWW-Authenticate",
    } == exposed
    preflight = await client.options(ACCOUNT, headers=headers)
    assert "If-Match" in preflight.headers["Access-Control-Allow-Headers"].split(", ")
    other = await client.get(ACCOUNT, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Expose-Headers" not in other.headers
