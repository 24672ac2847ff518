"""What /readyz, `check` and the dashboard say of the installation's health."""

import os
import threading
from pathlib import Path

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import text

from app.accounts import roles
from app.database import db
from app.health import findings, probes
from app.jobs.workers import identify_database, write
from app.redis import redis
from tests.conftest import MakeApp
from tests.factories.people import log_in, make_person
from tests.servers import start_valkey


async def ready(client: Browser) -> tuple[int, str, dict[str, str]]:
    response = await client.get("/readyz")
    body = await response.get_json()
    return (
        response.status_code,
        body["status"],
        {part["name"]: part["state"] for part in body["components"]},
    )


async def pretend_worker(app: Quart, database: str | None = None, name: str = "a:1:a") -> None:
    """Write the heartbeat of a worker on the app's database, or on another one."""
    database = database or await identify_database(app.extensions["database"].engine)
    await write(redis, app.extensions["settings"], name, database, 10)


async def test_livez_asks_nobody(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/test")
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path / 'nobody'}")
    response = await make_app().test_client().get("/livez")
    assert (response.status_code, await response.get_json()) == (200, {"status": "ok"})


async def test_ready_with_everything(app: Quart, client: Browser) -> None:
    await pretend_worker(app)
    assert await ready(client) == (
        200,
        "ok",
        {"database": "ok", "schema": "ok", "redis": "ok", "worker": "ok"},
    )


async def test_without_workers_it_is_degraded_and_serves(client: Browser) -> None:
    status, state, components = await ready(client)
    assert (status, state, components["worker"]) == (200, "degraded", "degraded")


async def test_a_worker_on_another_database_is_not_taken_for_ones_own(
    app: Quart, client: Browser
) -> None:
    await pretend_worker(app, "another")
    _, _, components = await ready(client)
    assert (components["worker"], components["redis keys"]) == ("degraded", "degraded")
    assert [message.id for message in await probes.check(app)] == ["qb.E005", "qb.E020"]
    await pretend_worker(app, name="b:1:b")
    _, _, components = await ready(client)
    assert (components["worker"], components["redis keys"]) == ("ok", "degraded")
    [message] = await probes.check(app)
    assert message.id == "qb.E020"
    assert "REDIS_PREFIX=qb-testing:" in message.message
    assert "a:1:a" in message.message
    assert "Set REDIS_PREFIX" in message.hint


async def test_without_redis_it_is_degraded_and_serves(
    make_app: MakeApp, backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path / 'nobody'}")
    status, state, components = await ready(make_app().test_client())
    assert (status, state, components["redis"]) == (200, "degraded", "degraded")


@pytest.mark.parametrize(
    "missing",
    [("~qb-testing:*", "~other:*"), ("&qb-testing:*", "&other:*")],
    ids=["keys", "channels"],
)
async def test_what_an_acl_has_to_allow_is_named(
    backend: str,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    missing: tuple[str, str],
) -> None:
    rule = "~qb-testing:* &qb-testing:* +@all".replace(*missing)
    options = ["--user", "default", "off", "--user", "me", "on", ">x", *rule.split()]
    server, socket = start_valkey(tmp_path, *options)
    monkeypatch.setenv("REDIS_URL", f"unix://me:x@{socket}")
    app = make_app()
    try:
        async with probes.standalone(app.extensions["settings"]) as services:
            [outcome] = await probes.redis(services)
    finally:
        server.stop()
    assert outcome.check
    assert "permission" in outcome.check.message.lower()
    assert "keys ~qb-testing:* and the channels &qb-testing:*" in outcome.check.hint


async def test_a_redis_that_takes_no_writes_says_why(
    backend: str, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, socket = start_valkey(tmp_path)  # its own: the suite's is shared by all workers
    monkeypatch.setenv("REDIS_URL", f"unix://{socket}")
    app = make_app()
    try:
        await app.extensions["redis"].config_set("maxmemory", "1")
        body = await (await app.test_client().get("/readyz")).get_json()
    finally:
        server.stop()
    assert body["status"] == "degraded"
    assert [part["detail"] for part in body["components"] if part["name"] == "redis"] == [
        "is out of memory"
    ]


async def test_without_a_database_it_is_down(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/test")
    status, state, components = await ready(make_app().test_client())
    assert (status, state, components["database"]) == (503, "down", "down")


async def test_a_schema_behind_the_code_is_down_and_one_ahead_is_ready(client: Browser) -> None:
    async with db.transaction() as session:
        before = (
            await session.execute(text("SELECT version_num FROM alembic_version"))
        ).scalar_one()
        await session.execute(text("UPDATE alembic_version SET version_num = 'from_tomorrow'"))
    ahead = await ready(client)
    async with db.transaction() as session:
        await session.execute(text("DELETE FROM alembic_version"))
    behind = await ready(client)
    async with db.transaction() as session:
        await session.execute(
            text("INSERT INTO alembic_version VALUES (:before)"), {"before": before}
        )
    assert (ahead[0], ahead[2]["schema"]) == (200, "ok")
    assert (behind[0], behind[2]["schema"]) == (503, "down")


async def test_a_process_that_stops_says_so(
    app: Quart, client: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Event()
    stopping.set()
    monkeypatch.setitem(app.extensions, "draining", stopping)
    assert (await ready(client))[:2] == (503, "draining")


async def test_the_probes_tell_no_address_and_no_name(client: Browser) -> None:
    text_ = await (await client.get("/readyz")).get_data(as_text=True)
    assert os.environ["TEST_FOLDER"] not in text_
    assert "postgres" not in text_


@pytest.fixture
def printer(app: Quart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add two probes as a feature does, of which one is for `check` alone."""
    monkeypatch.setitem(app.extensions, "probes", app.extensions["probes"].copy())

    async def paper(services: findings.Services) -> list[findings.Outcome]:
        found = findings.CheckMessage("qb.W900", "The printer has no paper.", "Put some in.")
        return [findings.Outcome("printer", "degraded", "has no paper", found)]

    async def toner(services: findings.Services) -> list[findings.Outcome]:
        found = findings.CheckMessage("qb.W901", "The toner is old.", "Replace it.")
        return [findings.Outcome("toner", "degraded", "is old", found)]

    probes.add_probe(app, paper, ready=True)
    probes.add_probe(app, toner)


@pytest.mark.usefixtures("printer")
async def test_a_probe_of_a_feature_is_in_readyz(client: Browser) -> None:
    status, state, components = await ready(client)
    assert (status, state, components["printer"]) == (200, "degraded", "degraded")
    assert "toner" not in components


@pytest.mark.usefixtures("printer")
async def test_a_probe_of_a_feature_is_on_the_dashboard(client: Browser) -> None:
    await log_in(client, await make_person(role=roles.ADMINISTRATOR))
    page = await (await client.get("/admin")).get_data(as_text=True)
    assert "has no paper" in page
    assert "is old" not in page


@pytest.mark.usefixtures("printer")
async def test_every_probe_of_a_feature_is_in_check(app: Quart) -> None:
    found = {message.id for message in await probes.check(app)}
    assert {"qb.W900", "qb.W901"} <= found


async def test_a_probe_that_finds_nothing_wrong_says_nothing_in_check(app: Quart) -> None:
    await pretend_worker(app)
    assert await probes.check(app) == []
