"""`serve --postgres`, with real processes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.environment import PROJECT_ROOT
from development import postgresql
from tests.clones import LEFT_OUT, environment
from tests.faults.serving import START, Serve, left_after, running

pytestmark = [pytest.mark.faults, pytest.mark.waits]

COUNT_USERS = "print('Users:', len((await session.execute(select(User.id))).all()))"


@pytest.fixture
def project() -> Path:
    """Make a fresh clone where others may enter: as root, PostgreSQL runs as one of them."""
    folder = Path(tempfile.mkdtemp(dir=os.environ["TEST_FOLDER"]))
    folder.chmod(0o755)
    return Path(shutil.copytree(PROJECT_ROOT, folder / "project", ignore=LEFT_OUT))


def test_postgresql_is_one_option_away_and_ctrl_c_leaves_nothing(
    project: Path, serve: Callable[..., Serve]
) -> None:
    """Two terminals share it, other commands reach it, and its data stay."""
    run = serve("--postgres").started()
    url = run.until(r"export DEV_DATABASE_URL='?([^'\s]+)")[1]
    guest = serve("--postgres", "--no-worker").started()
    assert '"state": "ok"' in guest.get("/readyz")
    assert guest.end() == 0
    for arguments, words in (
        (["add-fake-data", "-n", "7"], "Added 7 users"),
        (["db", "current"], "(head)"),
        (["shell"], "Users: 8"),
    ):
        process = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=project,
            env=environment() | {"DEV_DATABASE_URL": url},
            input=COUNT_USERS,
            capture_output=True,
            text=True,
            check=True,
        )
        assert words in process.stdout
    family = run.family()
    assert run.end(signal.SIGINT) == 0
    assert running(family) == []
    assert not postgresql.answers(project / "instance")
    assert not (project / "instance" / "development.sqlite3").exists()
    again = serve("--postgres", "--no-worker").started()
    assert "The database was empty" not in again.output


def test_killed_supervisor_leaves_no_postgresql(project: Path, serve: Callable[..., Serve]) -> None:
    run = serve("--postgres").started()
    family = run.family()
    run.end(signal.SIGKILL)
    assert left_after(10, family) == []
    assert serve("--postgres").started().get(), "it recovers"


def test_embedded_postgresql_is_for_development(serve: Callable[..., Serve]) -> None:
    run = serve("--postgres", config="production")
    assert run.process.wait(START) == 1
    assert run.output == (
        "Error: --postgres is for development. Under production set DATABASE_URL.\n"
    )
