"""Commands whose output nobody reads, whose disk is full, or whose files are somebody else's."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from app.environment import PROJECT_ROOT
from tests.commands.conftest import one_line
from tests.processes import invoke, manage

SPEAKING = [
    ["--help"],
    ["jobs", "--help"],
    ["routes"],
    ["openapi"],
    ["check"],
    ["jobs", "list"],
    ["db", "history"],
    ["db", "current"],
    ["db", "upgrade", "--sql"],
    ["shell"],
]
speaking = pytest.mark.parametrize("command", SPEAKING, ids=" ".join)
CHATTER = ("Context impl", "Will assume", "Running upgrade", "Generating static SQL")


def speak(command: list[str], env: dict[str, str], output: int) -> tuple[int, list[str]]:
    """Run a command that writes to a descriptor; returns its status and the lines of its errors."""
    process = subprocess.run(
        [sys.executable, PROJECT_ROOT / "manage.py", *command],
        env=env,
        cwd=os.environ["TEST_FOLDER"],
        input=b"print('hello')",
        stdout=output,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    lines = process.stderr.decode().splitlines()
    return process.returncode, [line for line in lines if not line.startswith(CHATTER)]


@pytest.fixture
def spoken(env: dict[str, str]) -> dict[str, str]:
    """Return the environment of a database that has something to tell."""
    assert invoke("setup-dev", env=env).returncode == 0
    database = env["TEST_DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO jobs (id, name, args, state, lease, attempt, created_at) VALUES ('"
            + "0" * 32
            + "', 'jobs.delete_finished', '{}', 'dead', 0, 0, '2026-01-01 00:00:00.000000')"
        )
    connection.close()
    return env


@pytest.mark.faults
@pytest.mark.waits
@speaking
def test_a_pipe_that_nobody_reads_is_the_end_without_a_word(
    spoken: dict[str, str], command: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    status, errors = speak(command, spoken, writer)
    os.close(writer)
    errors = [line for line in errors if not line.startswith("qb.") and line[:4].strip()]
    assert errors == []
    assert status == (1 if command == ["--help"] else 128 + signal.SIGPIPE)


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@speaking
def test_a_full_disk_for_the_output_is_one_line(spoken: dict[str, str], command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        status, errors = speak(command, spoken, full.fileno())
    assert status == 1
    assert [line for line in errors if line[:4].strip()][-1].startswith(
        "Error: The output cannot be used: No space left on device."
    )
    assert "Traceback" not in "".join(errors)


@pytest.mark.faults
@pytest.mark.waits
def test_no_output_at_all_is_no_error(spoken: dict[str, str]) -> None:
    command = [sys.executable, str(PROJECT_ROOT / "manage.py"), "jobs", "list"]
    process = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command],
        env=spoken,
        cwd=os.environ["TEST_FOLDER"],
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")


def number_of_users(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        [number] = connection.execute("SELECT count(*) FROM users").fetchone()
    return int(number)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 3 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting needs root and permission")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.faults
@pytest.mark.waits
def test_a_full_disk_of_the_database_is_named_and_nothing_is_half_done(
    env: dict[str, str], small_disk: Path
) -> None:
    path = small_disk / "test.sqlite3"
    full = env | {"TEST_DATABASE_URL": f"sqlite:///{path}"}
    assert manage("setup-dev", env=full).returncode == 0
    line = one_line(manage("add-fake-data", "-n", "20000", env=full))
    assert "database or disk is full. Make room on its disk." in line
    assert number_of_users(path) == 1
    (small_disk / "filler").write_bytes(b"")
    with pytest.raises(OSError, match="No space"), (small_disk / "filler").open("wb") as filler:
        while True:
            filler.write(b"x" * 4096)
            filler.flush()
    for command in ("recreate-db", "setup-dev"):
        assert "disk" in one_line(manage(command, env=full))
    process = manage("check", env=full)
    assert "Is its disk full or damaged?" in process.stderr
    assert "Traceback" not in process.stderr
    (small_disk / "filler").unlink()
    assert manage("db", "check", env=full).returncode == 0
    assert "disk" not in manage("check", env=full).stderr
    assert number_of_users(path) == 1


@pytest.fixture
def as_another(tmp_path: Path) -> list[str]:
    """Return what runs a command as a user to whom not every file belongs, as root does."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can give a file to another user, and needs setpriv")
    powers = "-dac_override,-dac_read_search,-fowner"
    return ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_files_of_another_user_are_named(
    env: dict[str, str], tmp_path: Path, as_another: list[str], mode: int
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    theirs = env | {"TEST_DATABASE_URL": f"sqlite:///{folder / 'test.sqlite3'}"}
    assert manage("setup-dev", env=theirs).returncode == 0
    for path in (folder, *folder.iterdir()):
        os.chown(path, 65534, 65534)
    for path in folder.iterdir():
        path.chmod(mode)
    for command in ("setup-dev", "recreate-db", "add-fake-data", "jobs list", "db upgrade"):
        process = subprocess.run(
            [*as_another, sys.executable, PROJECT_ROOT / "manage.py", *command.split()],
            env=theirs,
            cwd=os.environ["TEST_FOLDER"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "May this user" in one_line(process), command


@pytest.mark.faults
@pytest.mark.waits
def test_a_folder_that_cannot_be_written_is_named(
    env: dict[str, str], tmp_path: Path, as_another: list[str]
) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    os.chown(folder, 65534, 65534)
    process = subprocess.run(
        [*as_another, sys.executable, PROJECT_ROOT / "manage.py", "setup-dev"],
        env=env | {"TEST_DATABASE_URL": f"sqlite:///{folder / 'test.sqlite3'}"},
        cwd=os.environ["TEST_FOLDER"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "May this user read and write the file, and the folder" in one_line(process)


def test_a_database_that_is_newer_than_the_code_is_named(env: dict[str, str]) -> None:
    assert invoke("setup-dev", env=env).returncode == 0
    database = env["TEST_DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'abcdef012345'")
    connection.close()
    for command in (["setup-dev"], ["db", "upgrade"], ["db", "current"], ["db", "check"]):
        process = invoke(*command, env=env)
        assert process.returncode == 1
        [line] = [line for line in process.stderr.splitlines() if "INFO" not in line]
        assert "a migration that this code lacks" in line, command


@pytest.mark.faults
@pytest.mark.waits
def test_a_folder_that_was_deleted_meanwhile_is_named(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    program = [sys.executable, str(PROJECT_ROOT / "manage.py"), "jobs", "list"]
    process = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *program],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert one_line(process) == (
        "Error: The folder in which this runs cannot be used: No such file or directory."
    )


@pytest.mark.faults
@pytest.mark.waits
def test_what_the_encoding_of_the_output_lacks_is_escaped(spoken: dict[str, str]) -> None:
    database = spoken["TEST_DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE jobs SET error = '5 €'")
    connection.close()
    for command in (["list"], ["show", str(UUID(int=0))]):
        process = manage("jobs", *command, env=spoken | {"PYTHONIOENCODING": "latin-1"})
        assert (process.returncode, process.stderr) == (0, "")
        assert "5 \\u20ac" in process.stdout
