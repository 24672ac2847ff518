"""Restarts of the documented deployment on a socket that stays open, as with systemd's units."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from app.environment import PROJECT_ROOT
from tests.faults.conftest import ADMINISTRATOR
from tests.processes import NO_LIMITS, exchange, free_port, production

pytestmark = pytest.mark.faults

START = 20  # seconds; it takes about two
BODY = json.dumps(ADMINISTRATOR).encode()
LOG_IN = (
    b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
    b"application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)

SLOW_START = """
import asyncio
from app.asgi import app

@app.before_serving
async def wait() -> None:
    print("connecting", flush=True)
    await asyncio.sleep(1)
"""


def page(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Open the socket that a socket unit would hold."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener


Launch = Callable[..., "subprocess.Popen[bytes]"]


def visit(port: int, answers: list[str]) -> None:
    """Request a page again and again, each time on a new connection, until nobody listens."""
    while True:
        visitor = socket.socket()
        visitor.settimeout(START)
        with visitor:
            try:
                visitor.connect(("127.0.0.1", port))
            except ConnectionRefusedError:
                return
            try:
                visitor.sendall(page("/livez"))
                answers.append(visitor.recv(100)[:12].decode())
            except OSError as error:
                answers.append(repr(error))


@pytest.fixture
def launch(deployment: dict[str, str], listener: socket.socket, tmp_path: Path) -> Iterator[Launch]:
    """Return a function that launches a server on that socket, with its output in `servers.log`."""
    processes = []

    def run(
        settings: Path = PROJECT_ROOT / "hypercorn.toml", app: str = "app.asgi:app"
    ) -> "subprocess.Popen[bytes]":
        with (tmp_path / "servers.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "hypercorn",
                    "-c",
                    str(settings),
                    "-b",
                    f"fd://{listener.fileno()}",
                    app,
                ],
                env=deployment | NO_LIMITS | {"PYTHONPATH": str(tmp_path)},
                cwd=PROJECT_ROOT,
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            )
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def start(launch: Launch, listener: socket.socket, tmp_path: Path) -> Launch:
    """Return a function that launches a server and waits for its first response."""

    def run(settings: Path = PROJECT_ROOT / "hypercorn.toml") -> "subprocess.Popen[bytes]":
        process = launch(settings)
        assert answer(listener, page("/livez")).startswith(b"HTTP/1.1 200"), (
            tmp_path / "servers.log"
        ).read_text()
        return process

    return run


def answer(listener: socket.socket, *parts: bytes, pause: float = 0) -> bytes:
    """Send something on a new connection, and return everything that comes back."""
    return exchange(listener.getsockname()[1], *parts, pause=pause, timeout=START)


class Visitors:
    """People who keep requesting pages, each on a new connection, some time after connecting."""

    PAUSES = (0, 0.005, 0.02)

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.answers = 0
        self.failures: list[str] = []
        self.leaving = threading.Event()
        self.threads = [
            threading.Thread(target=self.ask, args=(path, pause))
            for path in ("/livez", "/")
            for pause in self.PAUSES
        ]

    def ask(self, path: str, pause: float) -> None:
        while not self.leaving.is_set():
            try:
                received = answer(self.listener, b"", page(path), pause=pause)
            except OSError as error:
                received = repr(error).encode()
            if received.startswith(b"HTTP/1.1 200") and (
                path == "/livez" or b"</html>" in received
            ):
                self.answers += 1
            else:
                self.failures.append(
                    f"{path}, asked {pause} s after connecting: {received[:200]!r}"
                )

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leaving.set()
        for thread in self.threads:
            thread.join()


def test_restarts_under_load_lose_no_request(start: Launch, listener: socket.socket) -> None:
    server = start()
    with Visitors(listener) as visitors:
        for _ in range(4):
            time.sleep(0.5)
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0
            server = start()
        time.sleep(0.5)
    assert visitors.failures == []
    assert visitors.answers > 100


def test_a_server_with_a_socket_of_its_own_answers_or_refuses_but_resets_nobody(
    deployment: dict[str, str], tmp_path: Path
) -> None:
    answers: list[str] = []
    for _ in range(4):
        port = free_port()
        settings = ["-c", str(PROJECT_ROOT / "hypercorn.toml"), "-b", f"127.0.0.1:{port}"]
        with (tmp_path / "server.log").open("ab") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "hypercorn", *settings, "app.asgi:app"],
                env=deployment | NO_LIMITS,
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=log,
            )
        wait_for_port(port)
        visitors = [threading.Thread(target=visit, args=(port, answers)) for _ in range(8)]
        for each in visitors:
            each.start()
        time.sleep(0.5)
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
        for each in visitors:
            each.join()
    assert len(answers) > 100
    assert set(answers) == {"HTTP/1.1 200"}


def wait_for_port(port: int) -> None:
    """Wait until a server listens."""
    deadline = time.monotonic() + START
    while True:
        with socket.socket() as visitor:
            if visitor.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_was_accepted_before_sigterm_is_answered_and_told_that_the_process_stops(
    start: Launch, listener: socket.socket
) -> None:
    server = start()
    with socket.create_connection(listener.getsockname()) as visitor:
        time.sleep(0.2)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.03)
        visitor.sendall(page("/readyz"))
        assert visitor.recv(1000).startswith(b"HTTP/1.1 503")
    assert server.wait(10) == 0


def test_more_sigterms_do_not_cut_a_request_off(start: Launch, listener: socket.socket) -> None:
    server = start()
    with socket.create_connection(listener.getsockname(), timeout=START) as visitor:
        visitor.sendall(LOG_IN)
        for _ in range(4):
            time.sleep(0.07)
            server.send_signal(signal.SIGTERM)
        visitor.sendall(BODY)
        assert visitor.recv(1000).startswith(b"HTTP/1.1 201")
    assert server.wait(10) == 0


def test_sigterm_while_it_starts_drops_nobody_who_waits(
    launch: Launch, start: Launch, listener: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "slow_start.py").write_text(SLOW_START)
    with socket.create_connection(listener.getsockname(), timeout=START) as visitor:
        visitor.sendall(page("/"))
        server = launch(app="slow_start:app")
        while "connecting" not in (tmp_path / "servers.log").read_text():
            assert server.poll() is None
            time.sleep(0.01)
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
        assert "Traceback" not in (tmp_path / "servers.log").read_text()
        start()
        assert visitor.recv(1000).startswith(b"HTTP/1.1 200")


def test_unfinished_request_does_not_keep_the_process(
    start: Launch, listener: socket.socket, tmp_path: Path
) -> None:
    settings = tmp_path / "hypercorn.toml"
    words = (PROJECT_ROOT / "hypercorn.toml").read_text()
    assert "graceful_timeout = 25 " in words
    settings.write_text(words.replace("graceful_timeout = 25 ", "graceful_timeout = 1 "))
    server = start(settings)
    with socket.create_connection(listener.getsockname()) as visitor:
        visitor.sendall(LOG_IN)
        time.sleep(0.2)
        server.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert server.wait(10) == 0
        assert 1 < time.monotonic() - started < 10


def test_killed_server_is_replaced_at_once_and_who_came_meanwhile_is_answered(
    start: Launch, listener: socket.socket
) -> None:
    server = start()
    server.kill()
    assert server.wait() == -signal.SIGKILL
    with socket.create_connection(listener.getsockname(), timeout=START) as visitor:
        visitor.sendall(page("/"))
        start()
        assert visitor.recv(1000).startswith(b"HTTP/1.1 200")


def test_worker_without_a_database_is_one_line_and_a_failure(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "arq", "worker.WorkerSettings"],
        env=production("postgresql://nobody:canary@127.0.0.1:1/test", INSTANCE_PATH=str(tmp_path)),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=START,
        check=False,
    )
    assert process.returncode == 1
    assert "127.0.0.1:1/test cannot be used" in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert "canary" not in process.stderr
