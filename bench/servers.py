"""One application behind several ASGI servers, and several processes of it behind one socket."""

import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import click

from app.environment import PROJECT_ROOT
from bench.site import ALL, HYPERCORN, Process, Site, load, log_in, site

ROW = "{:<36} {:>12} {:>12} {:>12} {:>8}"
PATHS = ("/livez", "/api/v1/account", "/")

PACKAGES = ("uvicorn[standard]==0.38.0", "granian==2.6.0")
UVICORN = ("-m", "uvicorn", "--no-access-log", "--host", "127.0.0.1", "--port")
GRANIAN = ("-m", "granian", "--interface", "asgi", "--no-access-log", "--workers", "1", "--port")


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Rounds, which interleave the rows.")
@click.option("--seconds", default=3.0, show_default=True, help="Seconds of load for each figure.")
def servers(rounds: int, seconds: float) -> None:
    """Compare Hypercorn with uvicorn and granian, then one process with two and with four."""
    with site() as made:
        made.manage("setup-prod")
        installed = str(made.folder / "servers")
        click.echo("Installing uvicorn and granian …", err=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--target", installed, *PACKAGES]
        subprocess.run(pip, check=True)
        env = {"PYTHONPATH": installed}
        secret = log_in(made.start())
        rows = {
            "Hypercorn": made.start(),
            "Hypercorn, uvloop": made.start(
                command=("-m", "hypercorn", "-k", "uvloop", *HYPERCORN), env=env
            ),
            "uvicorn, uvloop and httptools": made.start(command=UVICORN, bind="{port}", env=env),
            "uvicorn, asyncio and h11": made.start(
                command=(*UVICORN[:2], "--loop", "asyncio", "--http", "h11", *UVICORN[2:]),
                bind="{port}",
                env=env,
            ),
            "granian": made.start(command=GRANIAN, bind="{port}", env=env),
        }
        click.echo("One process on a core of its own; requests a second, and home of Hypercorn's\n")
        _compare({name: [server] for name, server in rows.items()}, secret, rounds, seconds)
        for process in made.processes:
            process.stop()
        made.processes.clear()
        os.sched_setaffinity(0, ALL)
        click.echo("\nProcesses on all cores, which they share with the databases and the load\n")
        groups = {"1 process": [made.start(pinned=False)]}
        for number in (2, 4):
            groups[f"{number} behind one socket"] = _behind_one_socket(made, number)
            groups[f"{number} with a port each"] = [made.start(pinned=False) for _ in range(number)]
        _compare(groups, secret, rounds, seconds)


def _compare(rows: Mapping[str, list[Process]], secret: str, rounds: int, seconds: float) -> None:
    rates: dict[tuple[str, str], list[float]] = {}
    headers = {"Authorization": f"Bearer {secret}"}
    for number in range(rounds + 1):
        for name, processes in rows.items():
            for path in PATHS:
                rate = _load_all(processes, path, seconds if number else 1, headers)
                if number:  # the first one warms up
                    rates.setdefault((name, path), []).append(rate)
    click.echo(ROW.format("", *PATHS, "ratio"))
    first = next(iter(rows))
    for name in rows:
        median = {path: statistics.median(rates[name, path]) for path in PATHS}
        pairs = zip(rates[name, "/"], rates[first, "/"], strict=True)
        ratio = statistics.median(rate / other for rate, other in pairs)
        figures = (f"{median[path]:,.0f}" for path in PATHS)
        click.echo(ROW.format(name, *figures, f"{ratio:.2f}"))


def _load_all(
    processes: list[Process], path: str, seconds: float, headers: Mapping[str, str]
) -> float:
    """Return the requests a second of all ports together, by 32 connections in all."""
    urls = list({process.url for process in processes})
    with ThreadPoolExecutor() as threads:
        each = 32 // len(urls)
        rates = threads.map(lambda url: load(url + path, seconds, each, headers), urls)
        return sum(rates)


def _behind_one_socket(made: Site, number: int) -> list[Process]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    listening.set_inheritable(True)
    port = listening.getsockname()[1]
    fd = listening.fileno()
    started = []
    for _ in range(number):
        with (made.folder / f"{port}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hypercorn", *HYPERCORN, f"fd://{fd}", "app.asgi:app"],
                env=made.env,
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=log,
                pass_fds=[fd],
            )
        started.append(Process(process, port))
    made.processes += started
    listening.close()
    time.sleep(5)
    with urllib.request.urlopen(started[0].url + "/livez"):
        return started
