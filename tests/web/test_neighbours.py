"""Other applications on the same host: browsers send cookies to every port of it."""

from typing import Any

import pytest
from quart import Quart, session
from quart.typing import TestClientProtocol as Browser

from app.config import Config
from app.redis import redis
from tests.conftest import MakeApp
from tests.factories.people import log_in, make_person


@pytest.fixture
def neighbour() -> Quart:
    """Return an application that keeps a session as Flask's and Quart's do by default."""
    other = Quart("neighbour")
    other.secret_key = "a secret of the neighbour's"

    @other.get("/visit")
    async def visit() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    return other


def carry(source: Browser, target: Browser) -> None:
    """Give a browser's cookies to another port of its host."""
    for cookie in source.cookie_jar or ():
        target.set_cookie("localhost", cookie.name, str(cookie.value))


@pytest.mark.parametrize("first", ["ours", "theirs"])
async def test_a_neighbour_that_sets_session_logs_nobody_out(
    app: Quart, neighbour: Quart, first: str
) -> None:
    ours, theirs = app.test_client(), neighbour.test_client()
    person = await make_person()

    async def visit_ours() -> None:
        carry(theirs, ours)
        await log_in(ours, person)
        carry(ours, theirs)

    async def visit_theirs() -> None:
        response = await theirs.get("/visit")
        assert await response.get_data() == b"1"
        carry(theirs, ours)

    for visit in [visit_ours, visit_theirs][:: 1 if first == "ours" else -1]:
        await visit()
    assert (await ours.get("/account/manage")).status_code == 200
    assert (await ours.post("/account/manage", form={"first_name": "A"})).status_code != 401
    carry(ours, theirs)
    assert await (await theirs.get("/visit")).get_data() == b"2"
    response = await ours.post("/account/logout")
    cleared = {line.partition("=")[0] for line in response.headers.getlist("Set-Cookie")}
    assert cleared == {"session_testing", "flash_testing"}


async def test_cookies_of_the_release_before_do_no_harm(client: Browser) -> None:
    for name in ("session", "flash", "__Host-session", "__Host-flash"):
        client.set_cookie("localhost", name, "what the release before has left")
    assert (await client.get("/account/manage")).status_code == 303
    await log_in(client, await make_person())
    assert (await client.get("/account/manage")).status_code == 200


async def test_the_specification_is_the_same_for_every_installation(
    make_app: MakeApp, app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def specification(of: Quart) -> dict[str, Any]:
        found: dict[str, Any] = await (await of.test_client().get("/openapi.json")).get_json()
        return found

    before = await specification(app)
    assert before["components"]["securitySchemes"]["cookie"]["name"] == "session_INSTALLATION_ID"
    monkeypatch.setenv("INSTALLATION_ID", "other")
    other = make_app()
    settings: Config = other.extensions["settings"]
    assert other.config["SESSION_COOKIE_NAME"] == "flash_other"
    assert settings.REDIS_PREFIX == "qb-other:"
    assert await specification(other) == before
    await redis.flushdb()  # of limits with the other prefix
