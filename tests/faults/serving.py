"""Running `manage.py serve`, and finding the processes that it leaves behind."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no type information

from tests.clones import environment

START = 30  # seconds; it takes about three


class Serve:
    """A running `manage.py serve`."""

    def __init__(self, project: Path, *arguments: str, **variables: str) -> None:
        self.log = project / f"serve-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(project / "manage.py"), *arguments],
                cwd=project,
                env=environment() | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Under nohup, or what starts like it, it would take no notice of SIGHUP.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def until(self, pattern: str, *, after: int = 0, timeout: float = START) -> re.Match[str]:
        """Wait until the output, from a position on, matches."""
        deadline = time.monotonic() + timeout
        while not (match := re.compile(pattern).search(self.output, after)):
            assert time.monotonic() < deadline, f"{pattern!r} is missing in:\n{self.output}"
            assert self.process.poll() is None, (
                f"ended with {self.process.returncode}:\n{self.output}"
            )
            time.sleep(0.02)
        return match

    def started(self) -> "Serve":
        """Wait until everything runs."""
        self.port = int(self.until(r"Serving on http://localhost:(\d+) ")[1])
        return self

    def get(self, path: str = "/livez") -> str:
        """Return the text of one of its pages."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=START) as answer:
            return str(answer.read().decode())

    def family(self) -> list[psutil.Process]:
        """Return its process and all descendants."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def child(self, role: str) -> psutil.Process:
        """Wait for its process of a role, `web`, `worker` or `prepare`, and return it."""
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            for process in self.family():
                if ["development.serving", role] == process.cmdline()[3:5]:
                    return process
            time.sleep(0.05)
        raise AssertionError(f"there is no {role}:\n{self.output}")

    def end(self, number: int = signal.SIGINT, timeout: float = 10) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run; zombies do not count."""
    left = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
        except psutil.NoSuchProcess:
            pass
    return left


def left_after(seconds: float, processes: list[psutil.Process]) -> list[psutil.Process]:
    """Wait up to some seconds for processes to end; return those that still run."""
    deadline = time.monotonic() + seconds
    while (left := running(processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def refuses(port: int) -> bool:
    """Tell whether nobody listens on a port."""
    with socket.socket() as visitor:
        return visitor.connect_ex(("127.0.0.1", port)) != 0
