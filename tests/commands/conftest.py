"""Empty databases for commands, and what commands did with them."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clones import Clone
from tests.commands.shells import Begin, begin_as_a_shell
from tests.conftest import create_database
from tests.processes import variables


@pytest.fixture(
    params=[
        "sqlite",
        # By default on the database that a clean clone has; on both in the continuous check.
        pytest.param("postgresql", marks=[pytest.mark.faults, pytest.mark.waits]),
    ]
)
async def clone(request: pytest.FixtureRequest, tmp_path: Path, worker_number: int) -> Clone:
    """Make a clean clone on an empty database of each kind."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    if request.param == "postgresql":
        url = await create_database(f"test_clone_{worker_number}")
    return Clone(tmp_path / "clone", url, os.environ["REDIS_URL"])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the path of an SQLite database that does not exist yet."""
    return tmp_path / "test.sqlite3"


@pytest.fixture
def env(database: Path, tmp_path: Path) -> dict[str, str]:
    """Return the environment of the testing configuration on that database."""
    return variables(
        QUART_CONFIG="testing",
        TEST_DATABASE_URL=f"sqlite:///{database}",
        REDIS_URL=os.environ["REDIS_URL"],
        INSTANCE_PATH=str(tmp_path / "instance"),
    )


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Start a command as a shell does. What a failing test leaves behind is killed."""
    begun: list[subprocess.Popen[str]] = []

    def start(
        clone: Clone, *arguments: str, in_background: bool = False
    ) -> "subprocess.Popen[str]":
        begun.append(begin_as_a_shell(clone, *arguments, in_background=in_background))
        return begun[-1]

    yield start
    for process in begun:
        with process:
            process.kill()


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    """Query an SQLite database, bypassing the application."""
    with sqlite3.connect(database) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def one_line(process: subprocess.CompletedProcess[str]) -> str:
    """Return the error of a command, which must have failed with a single line."""
    assert process.returncode != 0
    assert "Traceback" not in process.stderr
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1, process.stderr
    return lines[0]
