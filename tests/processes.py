"""Real processes for tests: commands, and servers as they are deployed."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from app.environment import PROJECT_ROOT
from manage import cli

NO_LIMITS = dict.fromkeys(
    (
        "LOGIN_LIMIT_ADDRESS",
        "LOGIN_LIMIT_ACCOUNT_ADDRESS",
        "LOGIN_LIMIT_ACCOUNT",
        "API_LIMIT",
        "PAGE_LIMIT",
        "STRENGTH_LIMIT",
    ),
    "100000/minute",
)
SECRET = "0123456789abcdef0123456789abcdef"


def variables(**more: str) -> dict[str, str]:
    """Return an environment without a developer's own settings, plus those that are given."""
    kept = {"PATH", "HOME", "LANG", "TMPDIR", "INSTANCE_PATH"}
    return {name: value for name, value in os.environ.items() if name in kept} | more


def production(database_url: str, **more: str) -> dict[str, str]:
    """Return the environment of a production server on this machine."""
    return variables(
        **{
            "QUART_CONFIG": "production",
            "SECRET_KEY": SECRET,
            "DATABASE_URL": database_url,
            "REDIS_URL": os.environ["REDIS_URL"],
            "BASE_URL": "http://localhost",
            "ADMIN_EMAIL": "admin@example.com",
            "INSTALLATION_ID": "testing",  # as in the testing configuration
        }
        | more
    )


def manage(
    *arguments: str, env: dict[str, str], stdin: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command of manage.py in a folder without `.env` files; return its outcome."""
    return subprocess.run(
        [sys.executable, PROJECT_ROOT / "manage.py", *arguments],
        env=env,
        cwd=os.environ["TEST_FOLDER"],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def invoke(
    *arguments: str, env: dict[str, str], stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of manage.py in this process, which saves the second that imports cost."""
    absent: dict[str, str | None] = {name: None for name in os.environ if name not in env}
    result = CliRunner().invoke(cli, arguments, input=stdin, env=absent | env)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """A server process, started with `hypercorn -c hypercorn.toml app.asgi:app`, and options."""

    def __init__(self, env: dict[str, str], log: Path, *options: str) -> None:
        self.port = free_port()
        self.env = env
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "hypercorn",
                    "-c",
                    "hypercorn.toml",
                    "-b",
                    f"127.0.0.1:{self.port}",
                    *options,
                    "app.asgi:app",
                ],
                env=env,
                cwd=PROJECT_ROOT,
                stdout=output,
                stderr=output,
            )

    @property
    def url(self) -> str:
        """Return its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self, timeout: float = 20) -> None:
        """Wait until it answers. Raises `RuntimeError` with its log if it exits or is too slow."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"ended with {self.process.returncode}: {self.log.read_text()}")
            with contextlib.suppress(OSError):
                if get(f"{self.url}/livez")[0] == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"not ready: {self.log.read_text()}")

    def stop(self, timeout: float = 40) -> int:
        """Send SIGTERM, as a supervisor does, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


@contextlib.contextmanager
def served(env: dict[str, str], log: Path) -> Iterator[Served]:
    """Run a server for the length of a block."""
    server = Served(env, log)
    try:
        server.wait_until_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def get(url: str, timeout: float = 10) -> tuple[int, str]:
    """Return the status and the text of a page, also of an error page."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def exchange(port: int, *parts: bytes, pause: float = 0, timeout: float = 10) -> bytes:
    """Send raw bytes over one connection, `pause` seconds apart; return the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        received = b""
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while chunk := connection.recv(65536):
                received += chunk
        return received


# Its handler sets a flag: what a handler raises is dropped, in silence, where the signal comes amid
# the end of an object, as each answer is one.
WATCHER = """
import http.client, json, signal, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
answers, worst, ending = 0, 0.0, False
def end(*_):
    global ending
    ending = True
signal.signal(signal.SIGTERM, end)
print("watching", flush=True)
while not ending:
    started = time.perf_counter()
    connection.request("GET", "/livez")
    response = connection.getresponse()
    response.read()
    assert response.status == 200, response.status
    worst = max(worst, time.perf_counter() - started)
    answers += 1
    time.sleep(0.002)
print(json.dumps({"answers": answers, "worst": worst}))
"""


@contextlib.contextmanager
def watching(server: Served) -> Iterator[dict[str, float]]:
    """Request /livez in a loop from another process while a block runs.

    Yields a dictionary that is filled at the end: `answers`, their number, and `worst`, the longest
    wait in seconds.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHER, str(server.port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "watching\n"
    found: dict[str, float] = {}
    try:
        time.sleep(0.1)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=40)
        found.update(json.loads(out))
