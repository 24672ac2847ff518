"""Servers that `serve` and the tests bring along: one of a kind for each instance folder, which
stops with the process that started it.

Hardly anything of the application is imported here, so that a bug in it cannot stop this.
"""

import atexit
import contextlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.errors import NotReady

# Runs the server and stops it when its standard input, a pipe, closes: that happens however the
# starter dies. Only the server keeps the log open, since the lock on it says whether a server runs.
WATCHER = """
signal=$1
shift
"$@" </dev/null &
exec >/dev/null 2>&1
read -r _
kill -"$signal" "$!"
wait "$!"
"""

_watchers: dict[Path, "subprocess.Popen[bytes]"] = {}


@dataclass(frozen=True, slots=True)
class Server:
    """A server of one instance folder."""

    name: str
    log: Path  # it also tells servers apart
    answers: Callable[[], bool]
    command: Callable[[], list[str]]  # prepares what it needs; called with the lock held
    instead: str  # what to do if it cannot run
    patience: float = 10.0  # seconds until it answers
    signal: str = "TERM"
    user: tuple[int, int] | None = None  # user and group that it runs as, if not ours


def ensure_running(server: Server) -> bool:
    """Start a server unless it runs, and wait until it answers.

    Returns whether this call started it: then it stops with this process and those that inherited
    its `lifeline`. Raises `NotReady` if it does not answer in time.
    """
    deadline = time.monotonic() + server.patience
    started = False
    while not server.answers():
        if (locked := _lock(server)) is not None:
            with locked:
                if started:
                    raise NotReady(
                        f"The embedded {server.name} stopped at once: {_last_line(server.log)} "
                        f"(see {server.log})."
                    )
                _start(server, locked)
            started = True
        elif time.monotonic() > deadline:
            raise NotReady(
                f"The embedded {server.name} does not answer after {server.patience:g} s "
                f"(see {server.log}). End the process that holds that file, or {server.instead}."
            )
        time.sleep(0.02)
    return started


def lifeline(server: Server) -> list[int]:
    """Return the descriptor that keeps a server running while a child process holds it.

    The list is empty if another process started the server.
    """
    watcher = _watchers.get(server.log)
    return [] if watcher is None or watcher.stdin is None else [watcher.stdin.fileno()]


def stop(log: Path) -> None:
    """Stop the server with this log if this process started it."""
    watcher = _watchers.pop(log, None)
    if watcher is not None and watcher.stdin is not None:
        watcher.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            watcher.wait(timeout=5)  # longer only while a child holds the lifeline


def _lock(server: Server) -> IO[bytes] | None:
    # Imported late: Windows does not have it, and was refused before.
    import fcntl

    try:
        server.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = server.log.open("ab")
    except OSError as error:
        raise NotReady(
            f"{server.log} cannot be written: {error.strerror}. Set INSTANCE_PATH, or "
            f"{server.instead}."
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _start(server: Server, log: IO[bytes]) -> None:
    log.truncate(0)
    command = server.command()
    if (former := _watchers.pop(server.log, None)) is not None:
        with former:  # its server is gone, and the id of its process may soon be another's
            former.kill()
    user, group = server.user or (None, None)
    # In a session of its own it does not get the terminal's Ctrl-C: the process that started it may
    # still need it to finish its work.
    _watchers[server.log] = subprocess.Popen(
        ["/bin/sh", "-c", WATCHER, "sh", server.signal, *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        cwd="/",
        user=user,
        group=group,
        start_new_session=True,
        umask=0o077,
    )
    atexit.register(stop, server.log)


def _last_line(log: Path) -> str:
    """Return the last line that says what is wrong, or else the last one."""
    lines = [line.strip() for line in log.read_text(errors="replace").split("\n") if line.strip()]
    errors = [line for line in lines if "FATAL:" in line]
    return (errors or lines or ["it left no message"])[-1]
