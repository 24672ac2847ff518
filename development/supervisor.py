"""The supervisor of `serve`: it keeps a web server and a worker running on the newest code.

It imports hardly anything of the application, so that a bug saved there cannot stop it: the code
runs in processes of its own, see `development.serving`. They inherit the listening socket, which
stays open while they restart, so that requests wait instead of being refused.
"""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from app.environment import (
    CHOSEN_BY,
    PROJECT_ROOT,
    chosen_by,
    first_set,
    instance_path,
    origin,
)
from app.errors import NotReady
from development import embedded, postgresql, valkey
from development.serving import MISTAKE

T = TypeVar("T")

NAMES = {"prepare": "The preparation", "web": "The web server", "worker": "The worker"}

# Seconds from SIGTERM to SIGKILL, more than Hypercorn and arq need. When reloading, a page that
# holds a stream open must not delay the restart.
PATIENCE = 30
PATIENCE_OF_RELOAD = 5
GRACE_OF_RELOAD = 2  # seconds that running requests get of these

# Seconds between two checks that the embedded servers, perhaps another terminal's, still run.
SERVER_CHECK = 1

RETRY = 5  # seconds before a process that could not run is started again

WATCHED_FOLDERS = ("app", "development", "alembic")  # with all files
WATCHED_SUFFIXES = (".py", ".toml", ".ini", ".env")  # of files at the top level


def supervise(
    config_name: str,
    host: str,
    port: int,
    *,
    reload: bool,
    worker: bool,
    development: bool,
    with_postgresql: bool = False,
) -> int:
    """Serve until stopped, and return the exit status.

    Raises `click.ClickException` if serving cannot begin.
    """
    with listen(host, port) as listener:
        local = local_url(host, listener.getsockname()[1])
        environment = _environment(config_name)
        if development and not first_set("BASE_URL"):
            environment["BASE_URL"] = local
        instance = instance_path()
        servers = []
        if development and not first_set("REDIS_URL", "REDISTOGO_URL"):
            servers.append(valkey.server(instance))
        if with_postgresql:
            servers.append(postgresql.server(instance))
            # The first of the two variables that development reads, so that it wins.
            environment["DEV_DATABASE_URL"] = postgresql.url(instance)
            say(postgresql.introduction(instance))
        supervisor = Supervisor(
            config_name,
            listener,
            environment,
            address=f"{base_url}, here {local}" if (base_url := first_set("BASE_URL")) else local,
            reload=reload,
            worker=worker,
            servers=servers,
        )
        try:
            return asyncio.run(supervisor.run())
        except NotReady as error:
            raise click.ClickException(str(error)) from None


def listen(host: str, port: int) -> socket.socket:
    """Open a socket that listens on a host and port.

    Raises `click.ClickException`, which says why that fails and what to do.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=100, dualstack_ipv6=both)
    except socket.gaierror:
        raise click.ClickException(f"{host} is not the name or address of a host.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65535 else 8000
            reason = f"is in use by another program. Stop it, or choose another: --port {other}"
        elif error.errno == errno.EACCES:
            reason = "is reserved for root. Choose one from 1024 on: --port 8000"
        elif error.errno == errno.EADDRNOTAVAIL:
            reason = (
                "cannot be listened on: that IP is not one of this machine. Choose another: "
                "--host 127.0.0.1"
            )
        else:
            reason = f"cannot be listened on: {os.strerror(error.errno or 0)}."
        raise click.ClickException(f"Port {port} on {host} {reason}") from None


def local_url(host: str, port: int) -> str:
    """Return the URL for a browser on this machine."""
    if host in ("localhost", "0.0.0.0", "::", "::1") or host.startswith("127."):  # noqa: S104  (compared, not bound)
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def say(text: str) -> None:
    """Print a line, even if the terminal may be gone."""
    with contextlib.suppress(OSError):
        click.echo(text)


def _environment(config_name: str) -> dict[str, str]:
    """Return the environment of the processes.

    It leaves out what came from `.env`, which they read again whenever they start.
    """
    environment = {name: value for name, value in os.environ.items() if origin(name) is None}
    # `-m` finds this application wherever the command was started from.
    path = os.pathsep.join(filter(None, [str(PROJECT_ROOT), environment.get("PYTHONPATH")]))
    return environment | {
        "QUART_CONFIG": config_name,
        CHOSEN_BY: chosen_by(config_name),
        "PYTHONPATH": path,
    }


class Supervisor:
    """Keeps the processes running, and stops them."""

    def __init__(
        self,
        config_name: str,
        listener: socket.socket,
        environment: dict[str, str],
        *,
        address: str,
        reload: bool,
        worker: bool,
        servers: Sequence[embedded.Server],
    ) -> None:
        self.config_name = config_name
        self.listener = listener
        self.environment = environment
        self.address = address
        self.reload = reload
        self.roles = ("web", "worker") if worker else ("web",)
        self.servers = servers  # to keep running
        self.processes: dict[asyncio.subprocess.Process, str] = {}
        # One event for each state of the code: set when it is no longer the newest.
        self.changed = asyncio.Event()
        self.answered = asyncio.Event()
        self.announced = False
        self.told_to_stop = asyncio.Event()
        # One end is the standard input of every process, the other the supervisor's alone: when it
        # is gone they read end of file.
        self.lifeline, self._held = os.pipe()

    async def run(self) -> int:
        """Serve until stopped, or until nothing is left to serve; leave no process running."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if (
                number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
            ):  # nohup stays in force
                loop.add_signal_handler(number, self._stop)
        try:
            return await _first(self._serve(), self._wait_for_stop())
        finally:
            impatience = loop.call_later(
                1, say, "Waiting for running requests and jobs; Ctrl-C again ends them at once."
            )
            await asyncio.gather(*(self._end(process) for process in self.processes))
            impatience.cancel()

    def _stop(self) -> None:
        if self.told_to_stop.is_set():
            for process in self.processes:
                _kill(process)
        self.told_to_stop.set()

    async def _wait_for_stop(self) -> int:
        await self.told_to_stop.wait()
        return 0

    async def _serve(self) -> int:
        background = self._watchers() if self.reload else []
        background += [self._keep_running(server) for server in self.servers]
        return await _first(self._prepare_and_keep(), *background)

    async def _prepare_and_keep(self) -> int:
        for server in self.servers:
            await asyncio.to_thread(embedded.ensure_running, server)
        status = await self._prepare()
        return status or await _first(*(self._keep(role) for role in self.roles))

    async def _prepare(self) -> int:
        while True:
            changed = self.changed
            process = await self._spawn("prepare")
            status = await process.wait()
            if not self.reload or status != MISTAKE:
                return status if status >= 0 else 1
            say(f"{NAMES['prepare']} {_how(status)}. Waiting for a change of the code.")
            await changed.wait()

    async def _keep(self, role: str) -> int:
        """Run one process until it ends, or when reloading, restart it after every change."""
        while True:
            changed = self.changed
            if role == "worker":
                # The web server first: it is what people wait for, and a bug is reported once.
                await _first(self.answered.wait(), changed.wait())
                if changed.is_set():
                    continue
            process = await self._spawn(role)
            await _first(
                process.wait(),
                changed.wait(),
                *([self._announce(changed)] if role == "web" else []),
            )
            if changed.is_set():
                await self._end(process)
                continue
            status = await process.wait()
            if not self.reload:
                say(f"{NAMES[role]} {_how(status)}.")
                return status if status > 0 else 1
            if status == MISTAKE:
                say(f"{NAMES[role]} {_how(status)}. Waiting for a change of the code.")
                await changed.wait()
            else:
                # The cause is outside the code, such as a pending migration: no change of a file
                # would tell.
                say(f"{NAMES[role]} {_how(status)}. Trying again in {RETRY} s.")
                await _first(changed.wait(), asyncio.sleep(RETRY))

    async def _spawn(self, role: str) -> asyncio.subprocess.Process:
        arguments = [role, self.config_name]
        # Servers must outlive their users: without Valkey a worker needs half a minute to stop.
        descriptors = [end for each in self.servers for end in embedded.lifeline(each)]
        if role == "web":
            descriptors.append(self.listener.fileno())
            arguments += [str(self.listener.fileno()), str(GRACE_OF_RELOAD if self.reload else "")]
        # -P: the working directory may hold another `app`. In a session of its own the process does
        # not get the terminal's Ctrl-C, so that only the supervisor decides when it stops.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "development.serving", *arguments),
            stdin=self.lifeline,
            pass_fds=descriptors,
            env=self.environment,
            start_new_session=True,
        )
        self.processes = {p: r for p, r in self.processes.items() if p.returncode is None} | {
            process: role
        }
        return process

    async def _announce(self, changed: asyncio.Event) -> None:
        """Print the URL once the web server answers; until then, wait in its queue."""
        self.answered.clear()
        started = time.monotonic()
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(*self.listener.getsockname()[:2])
            with contextlib.closing(writer):
                # No request, which would be logged: Hypercorn closes when nothing comes.
                writer.write_eof()
                await reader.read(1)
        if self.announced:
            say(f"Ready again after {time.monotonic() - started:.1f} s.")
        else:
            say(f"Serving on {self.address} (Ctrl-C stops)")
        self.announced = True
        self.answered.set()
        await changed.wait()

    async def _keep_running(self, server: embedded.Server) -> int:
        while True:
            await asyncio.sleep(SERVER_CHECK)
            if await asyncio.to_thread(embedded.ensure_running, server):
                say(f"The embedded {server.name} was gone: started it again.")

    def _watchers(self) -> list[Coroutine[Any, Any, int]]:
        # The project's folder is watched without its subfolders: a virtual environment has
        # thousands of them.
        code = [folder for name in WATCHED_FOLDERS if (folder := PROJECT_ROOT / name).is_dir()]
        return [
            self._watch(*code, recursive=True),
            self._watch(*{PROJECT_ROOT, Path.cwd()}, recursive=False, suffixes=WATCHED_SUFFIXES),
        ]

    async def _watch(
        self, *folders: Path, recursive: bool, suffixes: tuple[str, ...] = ("",)
    ) -> int:
        try:
            # Imported late: production goes without it.
            from watchfiles import DefaultFilter, awatch
        except ImportError:
            raise click.ClickException(
                "Reloading needs watchfiles. Run: pip install -c constraints.txt -e '.[dev]', or "
                "add --no-reload"
            ) from None
        ordinary = DefaultFilter()

        def matters(change: Any, path: str) -> bool:
            return ordinary(change, path) and path.endswith(suffixes)

        try:
            async for changes in awatch(*folders, watch_filter=matters, recursive=recursive):
                self._restart({path for _, path in changes})
        except (OSError, RuntimeError) as error:
            raise click.ClickException(
                f"The project's files cannot be watched: {error}. Set WATCHFILES_FORCE_POLLING=1, "
                "or add --no-reload"
            ) from None
        return 0

    def _restart(self, paths: set[str]) -> None:
        names = sorted(os.path.relpath(path, PROJECT_ROOT) for path in paths)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        say(f"{names[0]}{more} changed: restarting.")
        self.answered.clear()
        self.changed.set()
        self.changed = asyncio.Event()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        role = self.processes[process]
        patience = PATIENCE_OF_RELOAD if self.reload and role == "web" else PATIENCE
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(patience):
                await process.wait()
        except TimeoutError:
            say(f"{NAMES[role]} was still busy after {patience} s: killed it.")
            _kill(process)
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process and its children."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _how(status: int) -> str:
    return (
        f"was ended by {signal.Signals(-status).name}"
        if status < 0
        else f"ended with status {status}"
    )


async def _first(*coroutines: Coroutine[Any, Any, T]) -> T:
    """Run these concurrently until the first one ends, and return its result.

    The others are cancelled.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
