"""Probes that misbehave, and a `check` that changes nothing and reports everything."""

import asyncio
from pathlib import Path

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.health import findings, probes
from tests.commands.conftest import one_line
from tests.processes import invoke, variables


@pytest.fixture(params=["raises", "hangs"])
def broken(request: pytest.FixtureRequest, app: Quart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the probes by one that answers and one that forgot its time-out or an error.

    A real one would miss so short a time-out on a busy machine, and a database that does not answer
    in time is down.
    """
    monkeypatch.setitem(app.extensions, "probes", [])
    monkeypatch.setattr(probes, "PATIENCE", 0.1)
    monkeypatch.setattr(probes, "PATIENCE_AT_START", 0.1)

    async def paper(services: findings.Services) -> list[findings.Outcome]:
        found = findings.CheckMessage("qb.W999", "There is little paper.", "Buy some.")
        return [findings.Outcome("paper", "ok", "is there", found)]

    async def printer(services: findings.Services) -> list[findings.Outcome]:
        if request.param == "raises":
            raise LookupError("no printer")
        await asyncio.sleep(60)
        return []

    probes.add_probe(app, printer, ready=True)
    probes.add_probe(app, paper, ready=True)


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.usefixtures("broken")
async def test_a_probe_that_fails_takes_no_other_down_with_it(client: Browser) -> None:
    async with asyncio.timeout(10):
        response = await client.get("/readyz")
    answer = await response.get_json()
    states = {each["name"]: each["state"] for each in answer["components"]}
    assert (response.status_code, states) == (200, {"printer": "degraded", "paper": "ok"})
    assert "no printer" not in await response.get_data(as_text=True)


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.usefixtures("broken")
async def test_check_names_a_probe_that_fails(app: Quart) -> None:
    found = {message.id: message.message for message in await probes.check(app)}
    assert found.keys() == {"qb.E008", "qb.W999"}
    assert "The probe printer failed" in found["qb.E008"]


@pytest.mark.parametrize("missing", ["", "nowhere/"])
def test_check_without_a_database_reports_the_rest_and_makes_none(
    tmp_path: Path, missing: str
) -> None:
    database = tmp_path / f"{missing}test.sqlite3"
    env = variables(
        QUART_CONFIG="testing",
        TEST_DATABASE_URL=f"sqlite:///{database}",
        REDIS_URL="redis://127.0.0.1:1",
        INSTANCE_PATH=str(tmp_path / "instance"),
    )
    process = invoke("check", env=env)
    assert process.returncode == 1
    assert {"qb.E002", "qb.E004"} <= set(process.stderr.replace(":", " ").split())
    assert not database.exists()


def test_a_database_in_a_folder_that_is_missing_stops_a_command_in_one_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'nowhere' / 'test.sqlite3'}"
    env = variables(QUART_CONFIG="testing", TEST_DATABASE_URL=url, INSTANCE_PATH=str(tmp_path))
    assert "does not exist" in one_line(invoke("db", "upgrade", env=env))
