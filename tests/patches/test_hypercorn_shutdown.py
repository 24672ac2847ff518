"""What Hypercorn does with its connections when it is told to stop."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.environment import PROJECT_ROOT

APP = """
import asyncio
import threading

from app.patches.hypercorn_shutdown import stop_in_order

PATCHED = {patched}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if PATCHED:
            stop_in_order(threading.Event())
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    if scope["path"] == "/endless":
        await asyncio.sleep(60)
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b""}})
"""

Start = Callable[[bool], "subprocess.Popen[bytes]"]


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=10) as listener:
        yield listener


@pytest.fixture
def connect(listener: socket.socket) -> Iterator[Callable[[], socket.socket]]:
    """Return a function that opens connections to the server; close them at the end."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection(listener.getsockname(), timeout=10))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


@pytest.fixture
def start(
    listener: socket.socket, connect: Callable[[], socket.socket], tmp_path: Path
) -> Iterator[Start]:
    """Return a function that starts Hypercorn with a small application, patched or not."""
    processes = []

    def start(patched: bool) -> "subprocess.Popen[bytes]":
        (tmp_path / "small.py").write_text(APP.format(patched=patched))
        (tmp_path / "hypercorn.toml").write_text("graceful_timeout = 1\nworkers = 0\n")
        command = [sys.executable, "-m", "hypercorn", "-c", "hypercorn.toml"]
        process = subprocess.Popen(
            [*command, "-b", f"fd://{listener.fileno()}", "small:app"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(PROJECT_ROOT)},
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        processes.append(process)
        ready = connect()
        ready.sendall(get("/"))
        assert ready.recv(100).startswith(b"HTTP/1.1 200")
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def answer_to_a_request_after_sigterm(
    server: "subprocess.Popen[bytes]", connect: Callable[[], socket.socket]
) -> bytes:
    """Connect, stop the server, send a request a moment later; return what comes back."""
    visitor = connect()
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)
    time.sleep(0.03)
    try:
        visitor.sendall(get("/"))
        return visitor.recv(100)
    except ConnectionError:
        return b""


def test_hypercorn_still_drops_a_connection_whose_request_it_has_not_read(
    start: Start, connect: Callable[[], socket.socket]
) -> None:
    assert answer_to_a_request_after_sigterm(start(False), connect) == b"", (
        "delete stop_in_order from app/patches/hypercorn_shutdown.py: it is needed no more"
    )


def test_a_request_on_an_accepted_connection_is_answered(
    start: Start, connect: Callable[[], socket.socket]
) -> None:
    server = start(True)
    assert answer_to_a_request_after_sigterm(server, connect).startswith(b"HTTP/1.1 200")
    assert server.wait(5) == 0


@pytest.mark.skipif(sys.version_info < (3, 12, 1), reason="wait_closed returns at once there")
def test_hypercorn_still_waits_for_connections_without_end(
    start: Start, connect: Callable[[], socket.socket]
) -> None:
    server = start(False)
    connect().sendall(get("/endless"))
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        server.wait(3)


def test_the_graceful_timeout_ends_a_request_that_does_not(
    start: Start, connect: Callable[[], socket.socket]
) -> None:
    server = start(True)
    connect().sendall(get("/endless"))
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)
    assert server.wait(5) == 0
