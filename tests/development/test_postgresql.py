"""The embedded PostgreSQL: one for each instance folder, whose data stay."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest
from sqlalchemy import make_url

from app.environment import PROJECT_ROOT
from app.errors import NotReady
from app.validators.database_url import database_url
from development import embedded, postgresql
from tests.clones import environment
from tests.servers import start_postgresql


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


def test_a_copy_of_the_binaries_finds_its_libraries_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "secret" / "wheel" / "pginstall18" / "bin"
    libraries = tmp_path / "secret" / "wheel.libs"
    for folder in (programs, libraries, tmp_path / "home"):
        folder.mkdir(parents=True)
    (programs / "postgres").touch(mode=0o700)
    (libraries / "libpq.so").touch(mode=0o600)
    for folder in (programs, programs.parent, libraries, tmp_path / "secret"):
        folder.chmod(0o700)
    monkeypatch.setattr(postgresql, "binaries", lambda: programs)
    monkeypatch.setattr(postgresql, "database_user", lambda: (65534, 65534))
    copy = postgresql.reachable_binaries(tmp_path / "home")
    assert (copy / "postgres").stat().st_mode & 0o777 == 0o755
    assert (copy / "../../../wheel.libs/libpq.so").stat().st_mode & 0o777 == 0o644
    below = [path for path in copy.parents if path.is_relative_to(tmp_path / "home" / "wheel-18")]
    assert len(below) == 3
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in below)
    (copy / "kept").touch()
    assert (postgresql.reachable_binaries(tmp_path / "home") / "kept").exists()


@pytest.mark.faults
@pytest.mark.waits
def test_as_root_it_runs_from_an_environment_that_only_root_may_enter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if postgresql.database_user() is None:
        pytest.skip("only as root it runs as another user")
    package = postgresql.binaries().parents[1]
    folder = Path(tempfile.mkdtemp(dir=os.environ["TEST_FOLDER"]))
    secret = folder / "secret" / "site-packages"
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, secret / part.name)
    secret.parent.chmod(0o700)
    origin = SimpleNamespace(origin=str(secret / package.name / "__init__.py"))
    monkeypatch.setattr(postgresql, "find_spec", lambda name: origin)
    folder.chmod(0o755)
    server, home = start_postgresql(folder)
    try:
        psql = postgresql.reachable_binaries(Path(home)) / "psql"
        assert psql.is_relative_to(home)
        command = [str(psql), "-h", home, "-U", "postgres", "-Atc", "SELECT 7"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, user="nobody")
        assert done.stdout == "7\n"
    finally:
        server.stop()


@pytest.mark.faults
@pytest.mark.waits
def test_the_suite_runs_with_a_temporary_folder_that_others_may_not_enter(tmp_path: Path) -> None:
    private = tmp_path / "a b"
    private.mkdir(mode=0o700)
    command = [sys.executable, "-m", "pytest", "-n", "0", "tests/test_database.py", "-k", "moments"]
    done = subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env=environment() | {"TMPDIR": str(private)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
