"""The client's ip and scheme, with and without proxies, and what is said of wrong proxies."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest
from quart import Quart, request
from redis.asyncio import Redis

from app import create_app
from app.config import Config
from app.errors import TooMany
from app.health import probes
from app.limits import UNKNOWN_IP_FACTOR, Limits
from app.web.access import public, unlimited
from app.web.identity import is_from_this_machine
from app.web.middleware import sightings
from app.web.middleware.proxies import IN_A_ROW

GOOD = {"X_Forwarded_For": "192.0.2.1", "X_Forwarded_Proto": "https"}


def app_behind(monkeypatch: pytest.MonkeyPatch, proxies: int, **more: str) -> Quart:
    for name, value in {"TRUSTED_PROXIES": str(proxies), **more}.items():
        monkeypatch.setenv(name, value)
    app = create_app("testing")

    @app.get("/whoami")
    @public
    @unlimited
    async def whoami() -> str:
        return f"{request.remote_addr} {request.scheme} {is_from_this_machine()}"

    return app


async def ask(app: Quart, peer: str = "10.0.0.1", version: str = "1.1", **headers: str) -> str:
    named = [
        (name.replace("_", "-"), line)
        for name, lines in headers.items()
        for line in lines.split("|")
    ]
    response = await app.test_client().get(
        "/whoami", headers=named, scope_base={"client": (peer, 1), "http_version": version}
    )
    return str(await response.get_data(as_text=True))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the layer has logged."""
    return [r.getMessage() for r in caplog.records if r.name == sightings.__name__]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "192.0.2.1", "10.0.0.1"),
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (1, "6.6.6.6|192.0.2.1", "192.0.2.1"),
        (1, "6.6.6.6|7.7.7.7, 192.0.2.1", "192.0.2.1"),
        (2, "6.6.6.6, 192.0.2.1, 10.0.0.9", "192.0.2.1"),
        (2, "6.6.6.6|192.0.2.1|10.0.0.9", "192.0.2.1"),
        (2, "192.0.2.1", "192.0.2.1"),  # it did not come through both
        (1, "192.0.2.1:4711", "192.0.2.1"),
        (1, "[2001:db8::1]:80", "2001:db8::1"),
        # What is unreadable must not make room for what a client wrote to the left of it.
        (1, "6.6.6.6, not an ip", ""),
        (1, "6.6.6.6, unknown", ""),
        (1, "6.6.6.6, ", ""),
        (1, "6.6.6.6|", ""),
        (2, "6.6.6.6, 192.0.2.1, ", "192.0.2.1"),
        (1, "", ""),
    ],
)
async def test_only_what_trusted_proxies_wrote_is_believed(
    monkeypatch: pytest.MonkeyPatch, proxies: int, forwarded: str, expected: str
) -> None:
    app = app_behind(monkeypatch, proxies)
    assert (await ask(app, X_Forwarded_For=forwarded)).split(" ")[0] == expected


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http, https", "https"),
        ("https, http", "http"),
        ("https|http", "http"),
        ("http|HTTPS", "https"),
        ("on", "http"),
        ("", "http"),
    ],
)
async def test_the_scheme_is_believed_from_trusted_proxies_only(
    monkeypatch: pytest.MonkeyPatch, proto: str, expected: str
) -> None:
    headers = GOOD | {"X_Forwarded_Proto": proto}
    assert (await ask(app_behind(monkeypatch, 1), **headers)).split()[1] == expected
    assert (await ask(app_behind(monkeypatch, 0), **headers)).split()[1] == "http"


async def test_forwarded_is_read_only_where_nothing_else_came(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_behind(monkeypatch, 1)
    rfc = {"Forwarded": 'for=6.6.6.6, for="[2001:db8::1]:80";proto=HTTPS'}
    assert (await ask(app, **rfc)).split()[:2] == ["2001:db8::1", "https"]
    assert (await ask(app, **rfc, X_Forwarded_For="192.0.2.1")).split()[:2] == ["192.0.2.1", "http"]
    assert (await ask(app, **rfc, X_Forwarded_Proto="http")).split(" ")[:2] == ["", "http"]
    assert sum("which disagree" in line for line in said(caplog)) == 1


@pytest.mark.parametrize(
    ("proxies", "headers", "words"),
    [
        (0, {"X_Forwarded_For": "192.0.2.1"}, "set TRUSTED_PROXIES to their number"),
        (0, {"Forwarded": "for=192.0.2.1"}, "set TRUSTED_PROXIES to their number"),
        (0, {"X_Forwarded_Proto": "https"}, "set TRUSTED_PROXIES to their number"),
        (0, {"X_Real_IP": "192.0.2.1"}, "set TRUSTED_PROXIES to their number"),
        (1, {"X_Forwarded_Proto": "https"}, "proxy_set_header X-Forwarded-For"),
        (
            1,
            {"X_Forwarded_Proto": "https", "X_Real_IP": "192.0.2.1"},
            "x-real-ip",
        ),
        (1, GOOD | {"X_Forwarded_For": "unknown"}, "for is 'unknown'"),
        (1, {"X_Forwarded_For": "192.0.2.1"}, "proxy_set_header X-Forwarded-Proto"),
        (1, GOOD | {"X_Forwarded_Proto": "on"}, "proto is 'on'"),
        (2, GOOD, "fewer proxies than TRUSTED_PROXIES, which is 2"),
        (1, GOOD | {"X_Forwarded_Prefix": "/app"}, "a host name of its own"),
    ],
)
async def test_what_is_wrong_is_said_once_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    proxies: int,
    headers: dict[str, str],
    words: str,
) -> None:
    app = app_behind(monkeypatch, proxies, BASE_URL="https://app.example.com")
    for _ in range(3):
        await ask(app, **headers)
        await app.test_client().get("/livez")  # a probe from inside
    [line] = said(caplog)
    assert words in line
    assert "came from 10.0.0.1 with" in line
    assert all(r.levelno == logging.ERROR for r in caplog.records if r.getMessage() == line)


@pytest.mark.parametrize(
    ("proxies", "headers"),
    [
        (0, {}),
        (1, GOOD),
        (1, GOOD | {"X_Forwarded_For": "6.6.6.6, 192.0.2.1", "X_Forwarded_Prefix": "/"}),
        (1, GOOD | {"Forwarded": "for=192.0.2.1;proto=https"}),
        (2, GOOD | {"X_Forwarded_For": "192.0.2.1, 10.0.0.9"}),
    ],
)
async def test_nothing_is_said_of_what_is_right(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    proxies: int,
    headers: dict[str, str],
) -> None:
    app = app_behind(monkeypatch, proxies, BASE_URL="https://app.example.com")
    await ask(app, **headers)
    assert said(caplog) == []


async def test_more_proxies_than_trusted_are_said_when_no_client_can_have_done_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_behind(monkeypatch, 1)
    for _ in range(3):
        for _ in range(IN_A_ROW - 1):
            await ask(app, X_Forwarded_For="192.0.2.1, 10.0.0.9")
        await ask(app, X_Forwarded_For="192.0.2.1")
    assert said(caplog) == []
    for _ in range(IN_A_ROW + 1):
        await ask(app, X_Forwarded_For="192.0.2.1, 10.0.0.9")
    [line] = said(caplog)
    assert "more proxies than TRUSTED_PROXIES, which is 1" in line


async def test_https_outside_of_an_http_base_url_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await ask(app_behind(monkeypatch, 1, BASE_URL="http://app.example.com"), **GOOD)
    [line] = said(caplog)
    assert "Let BASE_URL begin with https://" in line


async def test_whoever_comes_through_a_proxy_is_not_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = {"peer": "127.0.0.1", "Host": "127.0.0.1:8000"}
    direct = app_behind(monkeypatch, 0)
    assert (await ask(direct, **here)).endswith("True")
    assert (await ask(direct, **here, Forwarded="for=127.0.0.1")).endswith("False")
    assert (await ask(direct, **here, version="1.0")).endswith("False")  # nginx without headers
    behind = app_behind(monkeypatch, 1)
    assert (await ask(behind, **here)).endswith("False")
    assert (await ask(behind, **here, X_Forwarded_For="127.0.0.1")).endswith("False")


async def test_an_unknown_ip_is_limited_more_gently_than_a_known_one(app: Quart) -> None:
    limits: Limits = app.extensions["limits"]
    for _ in range(2):
        await limits.hit("tried", "2/hour", "192.0.2.1")
    with pytest.raises(TooMany):
        await limits.hit("tried", "2/hour", "192.0.2.1")
    for _ in range(2 * UNKNOWN_IP_FACTOR):
        await limits.hit("tried", "2/hour", "")
    with pytest.raises(TooMany):
        await limits.require_room("tried", "2/hour", "")
    await limits.clear("tried", "2/hour", "")
    await limits.require_room("tried", "2/hour", "")


@pytest.fixture
async def production(monkeypatch: pytest.MonkeyPatch, app: Quart) -> AsyncIterator[Quart]:
    """An application in production behind one proxy, with nothing seen so far."""
    settings = app.extensions["settings"]
    monkeypatch.setenv("BASE_URL", "https://app.example.com")
    monkeypatch.setenv("INSTALLATION_ID", settings.INSTALLATION_ID)
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    monkeypatch.setenv("DATABASE_URL", settings.DATABASE_URL)
    made = create_app("production")
    await made.extensions["redis"].delete(seen_key(made))
    yield made
    await made.extensions["redis"].aclose(close_connection_pool=True)


def seen_key(app: Quart) -> str:
    settings: Config = app.extensions["settings"]
    return settings.redis_key(sightings.SEEN_KEY)


async def found(app: Quart) -> dict[str, str]:
    """What `check` finds about proxies."""
    await asyncio.sleep(0.2)  # what was seen is stored in the background
    async with probes.standalone(app.extensions["settings"], app) as services:
        outcomes = await probes.proxies(services)
    return {o.check.id: f"{o.check.message} {o.check.hint}" for o in outcomes if o.check}


async def test_check_says_what_web_processes_have_seen(production: Quart) -> None:
    client = production.test_client()
    assert await found(production) == {}
    await client.get("/robots.txt")
    seen = await found(production)
    assert set(seen) == {"qb.W030", "qb.E030"}
    assert "proxy_set_header X-Forwarded-Proto $scheme;" in seen["qb.E030"]
    assert time.strftime("%H:%M", time.gmtime()) in seen["qb.E030"]
    redis: Redis = production.extensions["redis"]
    assert 0 < await redis.ttl(seen_key(production)) <= 24 * 3600


async def test_what_has_been_put_right_is_reported_no_more(production: Quart) -> None:
    redis: Redis = production.extensions["redis"]
    now = time.time()
    bad = {"no-ip": int(now - 600), "no-scheme": int(now - 600), "many-hops": int(now - 600)}
    await redis.hset(seen_key(production), mapping=bad)  # type: ignore[misc]
    assert set(await found(production)) == {"qb.W030", "qb.E030", "qb.W033"}
    good = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    assert (await production.test_client().get("/robots.txt", headers=good)).status_code == 200
    assert await found(production) == {}
    for ago, ids in ((7200, set()), (600, {"qb.W035"})):
        await redis.hset(seen_key(production), "prefix", str(int(now - ago)))  # type: ignore[misc]
        assert set(await found(production)) == ids


async def test_a_redis_that_is_away_delays_no_request(
    production: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "unix:///nowhere")
    app = create_app("production")
    started = time.perf_counter()
    assert (await app.test_client().get("/robots.txt")).status_code == 308
    assert time.perf_counter() - started < 0.4
    assert await found(app) == {}
