"""The embedded PostgreSQL: one for each instance folder, whose data stay."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from app.errors import NotReady
from app.validators.database_url import database_url
from development import embedded, postgresql


@pytest.fixture
def instance() -> Iterator[Path]:
    """Return an instance folder that others may enter: as root, PostgreSQL runs as one of them."""
    folder = Path(tempfile.mkdtemp(dir=os.environ["TEST_FOLDER"]))
    folder.chmod(0o755)
    yield folder / "instance"
    embedded.stop(folder / "instance" / "postgres.log")


def ensure_running(instance: Path) -> bool:
    return embedded.ensure_running(postgresql.server(instance))


async def query(instance: Path, statement: str) -> list[asyncpg.Record]:
    url = make_url(database_url(postgresql.url(instance)))
    found = await asyncpg.connect(
        host=str(url.query["host"]), user=url.username, database=url.database
    )
    try:
        rows: list[asyncpg.Record] = await found.fetch(statement)
        return rows
    finally:
        await found.close()


@pytest.mark.faults
@pytest.mark.waits
async def test_data_stay_when_the_server_stops(instance: Path) -> None:
    assert not postgresql.answers(instance)
    assert ensure_running(instance)
    assert not ensure_running(instance), "it runs already"
    await query(instance, "CREATE TABLE kept AS SELECT 7 AS number")
    embedded.stop(instance / "postgres.log")
    assert not postgresql.answers(instance)
    assert ensure_running(instance)
    assert [row["number"] for row in await query(instance, "SELECT number FROM kept")] == [7]


@pytest.mark.faults
@pytest.mark.waits
async def test_a_path_that_a_server_would_split_has_its_socket_elsewhere(instance: Path) -> None:
    odd = instance.parent / 'a, "b" %20' / "instance"
    try:
        assert ensure_running(odd)
        assert [row["number"] for row in await query(odd, "SELECT 7 AS number")] == [7]
    finally:
        embedded.stop(odd / "postgres.log")


def test_a_missing_wheel_is_one_line(instance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "find_spec", lambda name: None)
    with pytest.raises(NotReady, match=r"not installed. Run: pip install .*\[dev\]"):
        ensure_running(instance)


def test_what_the_server_says_at_its_end_is_shown(instance: Path) -> None:
    instance.mkdir()
    if user := postgresql.database_user():
        (instance / "postgres").mkdir()
        os.chown(instance / "postgres", *user)
    (instance / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(NotReady, match="The embedded PostgreSQL stopped at once"):
        ensure_running(instance)
