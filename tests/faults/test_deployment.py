"""The commands of the Procfile and of the systemd units, run with only the files of the image."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.environment import PROJECT_ROOT
from tests.conftest import create_database
from tests.faults.conftest import ADMINISTRATOR
from tests.processes import free_port, get, production
from tests.test_deployment_files import copied, directives, procfile

pytestmark = [pytest.mark.faults, pytest.mark.waits]

Starter = Callable[..., "subprocess.Popen[bytes]"]

# What systemd does before it executes a service that belongs to a socket.
PASS_SOCKET = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execvp(sys.argv[2], sys.argv[2:])"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Make a folder with the files that the Dockerfile copies."""
    folder = tmp_path / "image"
    folder.mkdir()
    for name in copied():
        source = PROJECT_ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
            )
        else:
            shutil.copy(source, folder)
    # The tests' environment has this checkout installed, where an import of what is left out would
    # find it after all.
    for name in ("development", "tests"):
        (folder / f"{name}.py").write_text("raise ImportError('this is not in the image')")
    return folder


@pytest.fixture(params=["sqlite", "postgresql"])
async def env(
    request: pytest.FixtureRequest, tmp_path: Path, image: Path, worker_number: int
) -> dict[str, str]:
    """Return the environment that a platform gives: an empty database and a port to listen on."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    if request.param == "postgresql":
        url = await create_database(f"test_faults_{worker_number}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    more = {
        "PATH": path,
        "PORT": str(free_port()),
        "PYTHONPATH": str(image),
        "INSTANCE_PATH": str(tmp_path),
    }
    return production(url, **more)


@pytest.fixture
def start(image: Path, tmp_path: Path) -> Iterator[Starter]:
    """Return a function that starts a process of the Procfile, as a platform does, with its output
    in a file. All are killed after the test.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, env: dict[str, str]) -> "subprocess.Popen[bytes]":
        with (tmp_path / f"{name}.log").open("ab") as log:
            shell = ["/bin/sh", "-c", f"exec {procfile()[name]}"]
            started.append(subprocess.Popen(shell, cwd=image, env=env, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def until_ready(env: dict[str, str], tmp_path: Path, *processes: "subprocess.Popen[bytes]") -> None:
    """Wait until /readyz reports every component as ok."""
    said: object = None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert [process.poll() for process in processes] == [None] * len(processes), logs(tmp_path)
        with contextlib.suppress(OSError):
            status, body = get(f"http://127.0.0.1:{env['PORT']}/readyz")
            said = status, json.loads(body)["status"]
            if said == (200, "ok"):
                return
        time.sleep(0.05)
    raise AssertionError(f"{said}\n{logs(tmp_path)}")


def logs(tmp_path: Path) -> str:
    """Return the output of all processes."""
    return "\n".join(path.read_text() for path in sorted(tmp_path.glob("*.log")))


def test_a_release_on_an_empty_database_is_all_that_web_and_worker_need(
    env: dict[str, str], start: Starter, tmp_path: Path
) -> None:
    for _ in range(2):  # the next release finds nothing to do
        assert start("release", env).wait(60) == 0, logs(tmp_path)
    web, worker = start("web", env), start("worker", env)
    until_ready(env, tmp_path, web, worker)

    # The first administrator, as the README makes one
    command = ["python", "manage.py", "create-admin", ADMINISTRATOR["email"], "--password-stdin"]
    password = ADMINISTRATOR["password"]
    subprocess.run(
        command, cwd=tmp_path / "image", env=env, input=password, text=True, check=True, timeout=60
    )
    request = urllib.request.Request(
        f"http://127.0.0.1:{env['PORT']}/api/v1/session",
        json.dumps(ADMINISTRATOR).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 201

    for process in (web, worker):
        process.send_signal(signal.SIGTERM)
    assert [web.wait(40), worker.wait(15)] == [0, 0], logs(tmp_path)
    assert "Traceback" not in logs(tmp_path)


@pytest.mark.parametrize("env", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["release", "web", "worker"])
def test_without_a_secret_nothing_starts(
    env: dict[str, str], start: Starter, tmp_path: Path, name: str
) -> None:
    assert start(name, env | {"SECRET_KEY": ""}).wait(60) not in (0, None)
    assert "SECRET_KEY: is not set" in logs(tmp_path)
    assert "Traceback" not in logs(tmp_path)


def test_a_release_that_cannot_reach_the_database_fails(
    env: dict[str, str], start: Starter, tmp_path: Path
) -> None:
    away = env | {"DATABASE_URL": "postgresql://nobody:canary@127.0.0.1:1/test"}
    assert start("release", away).wait(60) not in (0, None)
    assert "canary" not in logs(tmp_path)
    assert "Traceback" not in logs(tmp_path)


@pytest.mark.parametrize("env", ["sqlite"], indirect=True)
def test_a_socket_of_systemd_is_used_and_refuses_nobody_between_two_servers(
    env: dict[str, str], start: Starter, tmp_path: Path, image: Path
) -> None:
    assert start("release", env).wait(60) == 0, logs(tmp_path)
    command = shlex.split(
        directives(PROJECT_ROOT / "deploy" / "quart-base-web.service")["ExecStart"]
    )
    command[0] = str(Path(sys.executable).parent / Path(command[0]).name)
    unit = [sys.executable, "-c", PASS_SOCKET]
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        (tmp_path / "unit.log").open("ab") as log,
    ):
        for _ in range(2):
            # Nobody serves at this moment: the request waits in the socket for the server that
            # starts now.
            with socket.create_connection(listening.getsockname(), timeout=30) as connection:
                connection.sendall(request)
                descriptor = listening.fileno()
                server = subprocess.Popen(
                    [*unit, str(descriptor), *command],
                    cwd=image,
                    env=env,
                    stdout=log,
                    stderr=log,
                    pass_fds=[descriptor],
                )
                try:
                    assert connection.recv(1024).startswith(b"HTTP/1.1 200"), logs(tmp_path)
                    server.send_signal(signal.SIGTERM)
                    assert server.wait(40) == 0, logs(tmp_path)
                finally:
                    server.kill()
                    server.wait()
    assert "127.0.0.1:8000" not in (tmp_path / "unit.log").read_text(), (
        "bind of hypercorn.toml is overridden"
    )
