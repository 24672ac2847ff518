"""A Valkey that several installations share, by TCP, by TLS and by a Unix socket."""

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

from redis import Redis

from app.environment import PROJECT_ROOT
from tests.processes import free_port, manage, production
from tests.servers import start_valkey

# Every character that means something in a URL, a blank, and one beyond ASCII.
PASSWORD = "p#x@y/z:%?&= ü"
ENCODED = quote(PASSWORD, safe="")

ARQ = str(Path(sys.executable).parent / "arq")


class Shared:
    """A server with a password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD)
        self.server, self.socket = start_valkey(folder, *options)
        self.admin = Redis(unix_socket_path=self.socket, password=PASSWORD)
        self.workers: list[subprocess.Popen[bytes]] = []

    def url(self, user: str = "") -> str:
        """Return its URL by TCP, with the password encoded."""
        return f"redis://{user}:{ENCODED}@127.0.0.1:{self.port}/0"

    def install(self, name: str, **more: str) -> dict[str, str]:
        """Set an installation up on a database of its own; return its environment."""
        home = self.folder / name
        home.mkdir()
        env = production(
            f"sqlite:///{home / 'test.sqlite3'}",
            REDIS_URL=self.url(),
            BASE_URL=f"http://{name}.example.com",
            INSTANCE_PATH=str(home),
            ADMIN_PASSWORD="seven purple herons",
            ADMIN_EMAIL="admin@example.com",
            WORKER_HEALTH_INTERVAL="1",
        )
        del env["INSTALLATION_ID"]  # it follows from BASE_URL
        env |= more
        process = manage("setup-prod", env=env)
        assert process.returncode == 0, process.stderr
        return env

    def start_worker(self, env: dict[str, str]) -> "subprocess.Popen[bytes]":
        """Start a worker; its log is in the installation's folder."""
        with (Path(env["INSTANCE_PATH"]) / "worker.log").open("ab") as log:
            command = [ARQ, "worker.WorkerSettings"]
            worker = subprocess.Popen(command, env=env, cwd=PROJECT_ROOT, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.admin.close()
        self.server.stop()


def log_of(env: dict[str, str]) -> str:
    """Return what the workers of an installation have logged."""
    return (Path(env["INSTANCE_PATH"]) / "worker.log").read_text()


def arq_check(env: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run the health check of workers, as it stands in compose.yaml, in a fresh process."""
    return subprocess.run(
        command or [ARQ, "--check", "worker.WorkerSettings"],
        env=env,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def findings(env: dict[str, str]) -> str:
    """Return what `check` finds."""
    process = manage("check", env=env)
    return process.stdout + process.stderr


def stop(worker: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> int:
    """Stop a worker and return its exit status."""
    worker.send_signal(number)
    return worker.wait(20)


@contextlib.contextmanager
def sharing(folder: Path) -> Iterator[Shared]:
    """Run a server for the length of a block."""
    shared = Shared(folder)
    try:
        yield shared
    finally:
        shared.end()


@contextlib.asynccontextmanager
async def tls(port: int, folder: Path) -> AsyncIterator[tuple[int, Path]]:
    """Put TLS with a self-signed certificate in front of a port of this machine.

    Yields the port to connect to, and the file of the certificate.
    """
    certificate, key = folder / "self signed.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    command += ["-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, forth), pass_on(back, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], certificate
    finally:
        server.close()


def move(socket: str, folder: Path) -> Path:
    """Return another path of a Unix socket, one with a blank and a percent sign."""
    path = folder / "50% of %41 b.sock"
    os.link(socket, path)
    return path
