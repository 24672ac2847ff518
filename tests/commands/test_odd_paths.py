"""A checkout in a folder whose name has a meaning in URLs, in ini files or in shells."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from app.environment import PROJECT_ROOT
from app.validators.database_url import database_url, sqlite_url
from development import embedded, valkey
from tests.clones import LEFT_OUT, environment
from tests.processes import free_port, get

ODD = "x%20y 50% ä %(here)s a?b=c #d ;e & 'f' \"g\" $h `i` <k>"

TABLE = """

class Odd(Base):
    __tablename__ = "odd"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


class OddClone:
    """A clone in an oddly named folder, with every setting at its default."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = environment() | {"LANG": "C.UTF-8"}
        shutil.copytree(PROJECT_ROOT, folder, ignore=LEFT_OUT)

    def does(self, *command: str, **more: str) -> str:
        """Run a Python command that must succeed, and return what it printed."""
        process = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.env | more,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, f"{command}: {process.stdout}{process.stderr}"
        return process.stdout + process.stderr


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[OddClone]:
    clone = OddClone(tmp_path / ODD)
    yield clone
    embedded.stop(clone.folder / "instance" / "valkey.log")


@pytest.mark.parametrize("name", ["x%20y", "50% ä", "a?b", "a#b", "a b", "a&b=c", "a%2Fb", ODD])
def test_a_path_survives_being_a_url(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / "a.sqlite3"
    assert make_url(database_url(sqlite_url(path))).database == str(path)


@pytest.mark.faults
@pytest.mark.waits
def test_migrations_run_in_an_oddly_named_folder(odd: OddClone, tmp_path: Path) -> None:
    odd.does("-m", "alembic", "upgrade", "head")
    odd.does("manage.py", "db", "check")
    assert (odd.folder / "instance" / "development.sqlite3").is_file()
    assert list(tmp_path.iterdir()) == [odd.folder], "something lies outside the project"


@pytest.mark.faults
@pytest.mark.waits
def test_every_command_works_in_an_oddly_named_folder(odd: OddClone, tmp_path: Path) -> None:
    odd.does("manage.py", "recreate-db")
    valkey.ensure_running(odd.folder / "instance")
    for command in (["setup-dev"], ["add-fake-data"], ["run-worker", "--burst"]):
        odd.does("manage.py", *command)
    odd.does("-c", "from arq.cli import cli; cli()", "worker.WorkerSettings", "--burst")
    models = odd.folder / "app" / "auth" / "models.py"
    models.write_text(models.read_text() + TABLE)
    odd.does("manage.py", "db", "migrate", "-m", "odd")
    odd.does("manage.py", "db", "upgrade")
    odd.does("manage.py", "db", "check")
    odd.does("manage.py", "lint", "migrations")
    odd.does("manage.py", "test", "-n", "0", "tests/test_config.py", "tests/development")
    assert list(tmp_path.iterdir()) == [odd.folder], "something lies outside the project"


@pytest.mark.faults
@pytest.mark.waits
def test_serve_works_in_an_oddly_named_folder(odd: OddClone, tmp_path: Path) -> None:
    port = free_port()
    log = (tmp_path / "serve.log").open("w+")
    process: subprocess.Popen[Any] = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", str(port)],
        cwd=odd.folder,
        env=odd.env,
        stdout=log,
        stderr=log,
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                assert get(f"http://127.0.0.1:{port}/readyz")[0] == 200
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        else:
            log.seek(0)
            raise AssertionError(log.read())
    finally:
        process.terminate()
        process.wait(40)
        log.close()
    assert (odd.folder / "instance" / "development.sqlite3").is_file()
