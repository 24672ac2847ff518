"""Clients that break the rules of HTTP, or do not read what they ask for: over TCP and TLS."""

import contextlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived
from h2.settings import SettingCodes, Settings

from tests.faults.conftest import set_up
from tests.faults.test_floods import memory
from tests.patches.test_hypercorn_client_mistakes import FAULTS as MISTAKES
from tests.patches.test_hypercorn_client_mistakes import PREFACE, REFUSED
from tests.patches.test_hypercorn_framing import FAULTS as AMBIGUOUS
from tests.patches.test_hypercorn_framing import H2C, get
from tests.processes import NO_LIMITS, Served, exchange, free_port

pytestmark = pytest.mark.faults

SCRIPT = "/docs/assets/swagger-ui-bundle.js"  # 1.7 MB
HEAD = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost")]
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
GET_SCRIPT = f"GET {SCRIPT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class ServedTwice(Served):
    """A server with a port for HTTP and one for HTTPS."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        certificate = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
        subject = ["-subj", "/CN=localhost", "-days", "2"]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *certificate],
            check=True,
            capture_output=True,
        )
        plain = free_port()
        tls = ["--certfile", f"{folder}/cert.pem", "--keyfile", f"{folder}/key.pem"]
        super().__init__(env, folder / "log", *tls, "--insecure-bind", f"127.0.0.1:{plain}")
        self.secure_port, self.port = self.port, plain

    def connect(self, *protocols: str) -> ssl.SSLSocket:
        """Return a connection by TLS that offers these protocols."""
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(list(protocols))
        connection = socket.create_connection(("127.0.0.1", self.secure_port), 10)
        return context.wrap_socket(connection)

    def complaints(self) -> list[str]:
        """Return what it has logged that is more than INFO, and lines that are not a record."""
        lines = self.log.read_text().splitlines()
        records = [json.loads(line) if line.startswith("{") else None for line in lines]
        return [
            line
            for line, record in zip(lines, records, strict=True)
            if (record and record["level"] not in ("INFO", "DEBUG"))
            or (not record and "Running on" not in line)
        ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTwice]:
    folder = tmp_path_factory.mktemp("clients")
    env = set_up(f"sqlite:///{folder / 'test.sqlite3'}", folder)
    running = ServedTwice(env | NO_LIMITS, folder)
    try:
        running.wait_until_ready(60)
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def send(server: ServedTwice, raw: bytes, *protocols: str) -> bytes:
    """Send bytes by TLS; return what comes back until the server closes, or says nothing more."""
    received = b""
    with server.connect(*protocols) as connection:
        connection.settimeout(1)
        with contextlib.suppress(OSError):
            connection.sendall(raw)
            while chunk := connection.recv(65536):
                received += chunk
    return received


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_request_is_refused_and_the_connection_closed(
    server: ServedTwice, name: str
) -> None:
    raw, status = AMBIGUOUS[name]
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(raw + LIVEZ)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):  # until it is closed, else this times out
                answer += chunk
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [str(status).encode()]


def test_http2_is_not_spoken_in_plain_text(server: ServedTwice) -> None:
    upgraded = exchange(server.port, get(H2C).replace(b"GET /", b"GET /livez"), timeout=1)
    assert upgraded.startswith(b"HTTP/1.1 200")
    assert exchange(server.port, PREFACE).startswith(b"HTTP/1.1 505")


def many_streams(reset: bool) -> Callable[[ServedTwice], object]:
    def ask(server: ServedTwice) -> None:
        client = H2Connection()
        client.initiate_connection()
        for stream in range(1, 3001, 2):
            client.send_headers(stream, [*HEAD, (":path", "/livez")], end_stream=True)
            if reset:
                client.reset_stream(stream)
        send(server, client.data_to_send(), "h2")

    return ask


def go_away(server: ServedTwice) -> None:
    """Reset connections at every stage of a TLS handshake and of a response."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl._create_unverified_context().wrap_bio(into, out)
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    greeting = out.read()
    for raw in (b"", greeting[:50], greeting):
        reset(socket.create_connection(("127.0.0.1", server.secure_port)), raw)
    reset(server.connect("http/1.1"), GET_SCRIPT)
    reset(server.connect("h2"), PREFACE)
    reset(socket.create_connection(("127.0.0.1", server.port)), GET_SCRIPT)


def reset(connection: socket.socket, raw: bytes) -> None:
    connection.sendall(raw)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def frames(*frame: bytes) -> Callable[[ServedTwice], object]:
    return lambda server: send(server, PREFACE + b"".join(frame), "h2")


WRONG: dict[str, Callable[[ServedTwice], object]] = {
    "1,500 streams": many_streams(reset=False),
    "1,500 streams that are reset": many_streams(reset=True),
    "a huge frame": frames(b"\xff" * 100),
    "5,000 pings": frames(*[b"\0\0\x08\6\0\0\0\0\0" + b"x" * 8] * 5000),
    "HTTP/1.1 where HTTP/2 was agreed": lambda server: send(server, GET_SCRIPT, "h2"),
    "HTTP/2 where HTTP/1.1 was agreed": lambda server: send(server, PREFACE, "http/1.1"),
    "plain text to the port for TLS": lambda server: exchange(server.secure_port, GET_SCRIPT),
    "TLS to the port for plain text": lambda server: exchange(
        server.port, b"\x16\3\1\2\0\1\0\1\xfc\3\3" + b"x" * 200
    ),
    "garbage": lambda server: exchange(server.port, b"\0\xff\xfe" * 100),
    "a head that is too large": lambda server: exchange(server.port, b"GET /" + b"a" * 200_000),
    "half a request": lambda server: exchange(server.port, b"POST / HT", timeout=0.2),
    "half a body": lambda server: exchange(
        server.port,
        b"POST /account/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na",
        timeout=0.2,
    ),
    "a target without a path": lambda server: exchange(
        server.port, get().replace(b"GET /", b"GET ?x"), timeout=0.2
    ),
    "a target with half a host": lambda server: exchange(
        server.port, get().replace(b"GET /", b"GET http://["), timeout=0.2
    ),
    "resets": go_away,
} | {
    name: lambda server, raw=raw: (
        send(server, raw, "h2") if raw.startswith(b"PRI") else exchange(server.port, raw)
    )
    for name, raw in (MISTAKES | REFUSED).items()
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_client_does_wrong_is_logged_as_info(server: ServedTwice, name: str) -> None:
    before = len(server.complaints())
    WRONG[name](server)
    assert exchange(server.port, LIVEZ).startswith(b"HTTP/1.1 200"), "it goes on"
    assert server.complaints()[before:] == []


def stall_plainly(server: ServedTwice) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(GET_SCRIPT)
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def stall_streams(server: ServedTwice) -> socket.socket:
    client = H2Connection(H2Configuration(header_encoding="utf-8"))
    client.local_settings = Settings(initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 0})
    client.initiate_connection()
    for stream in range(1, 181, 2):
        client.send_headers(stream, [*HEAD, (":path", SCRIPT)], end_stream=True)
    connection, answers = server.connect("h2"), 0
    connection.sendall(client.data_to_send())
    while answers < 90:
        received = connection.recv(65536)
        assert received, "it is not to be closed"
        events = client.receive_data(received)
        answers += sum(isinstance(event, ResponseReceived) for event in events)
    return connection


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux: the memory is read from /proc"
)
@pytest.mark.parametrize(
    ("stall", "connections", "requests"),
    [(stall_plainly, 480, 480), (stall_streams, 5, 5 * 90)],
    ids=["HTTP", "HTTP/2"],
)
def test_who_does_not_read_takes_little_and_holds_nobody_up(
    server: ServedTwice,
    stall: Callable[[ServedTwice], socket.socket],
    connections: int,
    requests: int,
) -> None:
    """Without a bound each of some 500 requests for the script would hold 1 MB of it.

    The time of others is what the process computes, compared with what it computes for pages, since
    machines differ. It was several times as much when files were read in small pieces by threads.
    """
    log_in = LIVEZ.replace(b"/livez", b"/account/login")
    before = computed(server)
    for _ in range(100):
        exchange(server.port, log_in)
    of_page = (computed(server) - before) / 100
    idle, before = memory(server, "VmRSS"), computed(server)
    with contextlib.ExitStack() as stack:
        for _ in range(connections):
            stack.enter_context(stall(server))
        time.sleep(1)
        page = exchange(server.port, log_in, timeout=30)
        most, taken = memory(server, "VmHWM"), computed(server) - before
    pages = taken / of_page / requests
    print(f"{idle:.0f} MiB before, at most {most:.0f}; each took as long as {pages:.2f} pages")
    assert page.startswith(b"HTTP/1.1 200")
    assert most - idle < 100
    assert pages < 8


def computed(server: Served) -> float:
    """Return the seconds that the process has computed."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
