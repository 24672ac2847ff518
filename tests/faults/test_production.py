"""The documented deployment: `hypercorn -c hypercorn.toml app.asgi:app`."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from app.environment import PROJECT_ROOT
from tests.faults.conftest import ADMINISTRATOR
from tests.processes import Served, exchange, free_port, get, production, served

pytestmark = pytest.mark.faults

HYPERCORN = [sys.executable, "-m", "hypercorn", "-c", "hypercorn.toml"]


def log_in(server: Served) -> str:
    """Log in, and return the token of the session."""
    request = urllib.request.Request(
        f"{server.url}/api/v1/session",
        json.dumps(ADMINISTRATOR).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return str(json.load(response)["token"])


def start(env: dict[str, str], timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Start a server that is expected to refuse."""
    return subprocess.run(
        [*HYPERCORN, "-b", f"127.0.0.1:{free_port()}", "app.asgi:app"],
        env=env,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


async def test_production_serves_and_a_session_holds_in_a_second_process(
    deployment: dict[str, str], tmp_path: Path
) -> None:
    with (
        served(deployment, tmp_path / "one.log") as one,
        served(deployment, tmp_path / "two.log") as two,
    ):
        token = log_in(one)
        request = urllib.request.Request(
            f"{two.url}/api/v1/account", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response)["email"] == ADMINISTRATOR["email"]
        status, body = get(f"{one.url}/readyz")
        assert (status, json.loads(body)["status"]) == (200, "degraded"), "no worker runs here"
        raw = exchange(
            one.port, b"GET /no-such-page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert b"404" in raw.split(b"\r\n")[0]
        assert b"\nserver:" not in raw.lower()
        log = (tmp_path / "one.log").read_text()
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert any(
            line.get("route") == "/api/v1/session" and line["status"] == 201 for line in lines
        )
        assert ADMINISTRATOR["password"] not in log
        assert token not in log


async def test_a_wrong_configuration_lists_every_mistake_and_serves_nothing(
    deployment: dict[str, str],
) -> None:
    process = start(deployment | {"MAIL_PORT": "many", "SECRET_KEY": "short", "BASE_URL": ""})
    assert process.returncode != 0
    for name in (
        "MAIL_PORT: got 'many'",
        "SECRET_KEY: got a value of 5 characters",
        "BASE_URL: is not set",
    ):
        assert name in process.stderr
    assert "Traceback" not in process.stderr


def test_a_database_that_is_away_at_the_start_is_one_line_and_a_failure(tmp_path: Path) -> None:
    process = start(
        production("postgresql://nobody:canary@127.0.0.1:1/test", INSTANCE_PATH=str(tmp_path))
    )
    assert process.returncode != 0
    assert len(process.stderr.strip().splitlines()) == 1
    assert "qb" not in process.stderr
    assert "canary" not in process.stderr
    assert "127.0.0.1:1/test cannot be used" in process.stderr


def test_a_pending_migration_is_one_line_and_a_failure(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "test.sqlite3").close()
    process = start(
        production(f"sqlite:///{tmp_path / 'test.sqlite3'}", INSTANCE_PATH=str(tmp_path))
    )
    assert process.returncode != 0
    assert process.stderr.strip().endswith("has no tables yet. Run: python manage.py setup-prod")


async def test_sigterm_lets_requests_in_flight_finish(
    deployment: dict[str, str], tmp_path: Path
) -> None:
    with served(deployment, tmp_path / "server.log") as server:
        body = json.dumps(ADMINISTRATOR).encode()
        head = (
            b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
            b"application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        exchanged = asyncio.create_task(
            asyncio.to_thread(exchange, server.port, head, body, pause=0.6)
        )
        await asyncio.sleep(0.3)  # the head is there, the body is not
        server.process.send_signal(signal.SIGTERM)
        assert b"201" in (await exchanged).split(b"\r\n")[0]
        started = time.monotonic()
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        assert time.monotonic() - started < 30


async def test_a_killed_server_leaves_nothing_that_keeps_the_next_from_starting(
    deployment: dict[str, str], tmp_path: Path
) -> None:
    for number in range(2):
        with served(deployment, tmp_path / f"{number}.log") as server:
            assert log_in(server)
            server.process.kill()
            assert server.process.wait() == -signal.SIGKILL


async def test_without_redis_people_can_still_log_in(
    deployment: dict[str, str], tmp_path: Path
) -> None:
    env = deployment | {"REDIS_URL": f"unix://{tmp_path / 'nobody'}"}
    with served(env, tmp_path / "server.log") as server:
        assert log_in(server)
        status, body = get(f"{server.url}/readyz")
        assert (status, json.loads(body)["status"]) == (200, "degraded")


def test_every_variable_of_the_suite_is_its_own() -> None:
    """A developer's settings must not leak into the servers that tests start."""
    assert "DATABASE_URL" not in os.environ
