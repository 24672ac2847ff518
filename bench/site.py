"""A production installation for a benchmark: its servers, each on the core that it is given."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from app.environment import PROJECT_ROOT
from tests import processes
from tests.servers import start_postgresql, start_valkey

# The server that is measured has the first core, load and databases the others.
ALL = set(range(os.cpu_count() or 1))
MEASURED = {0}
OTHERS = ALL - MEASURED or MEASURED

ADMINISTRATOR = {"email": "admin@example.com", "password": "seven purple herons"}
HYPERCORN = ("-c", "hypercorn.toml", "-b")

# Far beyond what the load reaches: counted, and never refused.
NO_LIMITS = dict.fromkeys(processes.NO_LIMITS, "1000000/minute")


@dataclass
class Process:
    """A server process and the port it listens on."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        """Return its base url."""
        return f"http://127.0.0.1:{self.port}"

    def memory(self) -> float:
        """Return its resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def stop(self) -> None:
        """End it and wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Site:
    """PostgreSQL, Valkey and the processes that use them, in a folder of their own."""

    folder: Path
    env: dict[str, str]
    processes: list[Process] = field(default_factory=list)

    def manage(self, *arguments: str, **more: str) -> None:
        """Run a command of manage.py. Raises with what it printed if it fails."""
        done = subprocess.run(
            [sys.executable, PROJECT_ROOT / "manage.py", *arguments],
            env=self.env | more,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise click.ClickException(done.stderr)

    def start(
        self,
        target: str = "app.asgi:app",
        ready: str = "/livez",
        command: tuple[str, ...] = ("-m", "hypercorn", *HYPERCORN),
        bind: str = "127.0.0.1:{port}",
        python: str = sys.executable,
        env: Mapping[str, str] | None = None,
        pinned: bool = True,
    ) -> Process:
        """Start a server on the measured core, and wait until it answers at `ready`."""
        port = processes.free_port()
        with (self.folder / f"{port}.log").open("wb") as log:
            process = subprocess.Popen(
                [python, *command, bind.format(port=port), target],
                env=self.env | dict(env or {}),
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, MEASURED if pinned else ALL),
            )
        started = Process(process, port)
        self.processes.append(started)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(started.url + ready):
                return started
            time.sleep(0.005)
        raise click.ClickException((self.folder / f"{port}.log").read_text())


@contextlib.contextmanager
def site(*, durable: bool = False) -> Iterator[Site]:
    """Start PostgreSQL and Valkey on the cores that are not measured; stop all at the end.

    `durable` has PostgreSQL wait for the disk at each commit, as it does in production.
    """
    os.sched_setaffinity(0, OTHERS)
    folder = Path(tempfile.mkdtemp(prefix="quart-base-bench-"))
    folder.chmod(0o755)
    valkey, socket = start_valkey(folder)
    postgresql, home = start_postgresql(folder, durable=durable)
    env = processes.variables() | NO_LIMITS
    env |= {
        "QUART_CONFIG": "production",
        "SECRET_KEY": processes.SECRET,
        "DATABASE_URL": f"postgresql://postgres@/postgres?host={home}",
        "REDIS_URL": f"unix://{socket}",
        "BASE_URL": "http://localhost",
        "ADMIN_EMAIL": ADMINISTRATOR["email"],
        "ADMIN_PASSWORD": ADMINISTRATOR["password"],
        "INSTALLATION_ID": "bench",
        "INSTANCE_PATH": str(folder / "instance"),
    }
    made = Site(folder, env)
    try:
        yield made
    finally:
        for process in made.processes:
            process.stop()
        postgresql.stop()
        valkey.stop()
        shutil.rmtree(folder, ignore_errors=True)


def log_in(server: Process, password: str = ADMINISTRATOR["password"]) -> str:
    """Log the administrator in; return the session's secret. Raises `HTTPError` if refused."""
    request = urllib.request.Request(
        f"{server.url}/api/v1/session",
        json.dumps(ADMINISTRATOR | {"password": password}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return str(json.load(response)["token"])


def load(
    url: str,
    seconds: float,
    connections: int,
    headers: Mapping[str, str],
    script: Path | None = None,
) -> float:
    """Return the requests a second that a server answers. Raises if it answers with an error.

    Whole seconds are all that wrk takes.

    A `script` in Lua makes requests that differ.
    """
    program = shutil.which("wrk")
    if program is None:
        raise click.ClickException("wrk is missing. Debian and Ubuntu: apt-get install wrk")
    sent = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    sent += ["-s", str(script)] if script else []
    command = [program, "-t", "1", "-c", str(connections), "-d", f"{round(seconds)}s", *sent, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout:
        raise click.ClickException(f"{url} was answered with errors:\n{done.stdout}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert rate
    return float(rate[1])
