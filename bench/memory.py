"""How much memory a web process and a worker take, and how soon a web process answers."""

import statistics
import subprocess
import sys
import time
import urllib.error

import click

from app.environment import PROJECT_ROOT
from bench.site import Process, Site, load, log_in, site

ROW = "{:<52} {:>9} {:>9}"


@click.command()
@click.option("--starts", default=5, show_default=True, help="Starts of a web process to time.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of requests and log-ins.")
@click.option("--seconds", default=20.0, show_default=True, help="Seconds of pages in each round.")
@click.option("--log-ins", default=300, show_default=True, help="Log-ins in each round.")
def memory(starts: int, rounds: int, seconds: float, log_ins: int) -> None:
    """Measure resident memory at the start and under load, and the time from exec to ready."""
    with site() as made:
        made.manage("setup-prod")
        click.echo(ROW.format("", "measured", "goal"))
        times = [_time_of_start(made) for _ in range(starts)]
        click.echo(ROW.format("exec to ready, s", f"{statistics.median(times):.2f}", "< 1.5"))
        server = made.start()
        click.echo(ROW.format("web, at the start, MiB", f"{server.memory():.0f}", "< 100"))
        requests = 0
        for number in range(1, rounds + 1):
            requests += _use(server, seconds, log_ins)
            time.sleep(2)  # the buffers of hashes are given back a second after the last
            label = f"web, after {requests:,} requests and {number * log_ins:,} log-ins, MiB"
            click.echo(ROW.format(label, f"{server.memory():.0f}", "< 120"))
        click.echo(ROW.format("worker, idle, MiB", f"{_worker(made):.0f}", ""))


def _time_of_start(made: Site) -> float:
    started = time.monotonic()
    server = made.start()
    seconds = time.monotonic() - started
    server.stop()
    made.processes.remove(server)
    return seconds


def _use(server: Process, seconds: float, log_ins: int) -> int:
    """Show pages, call the API and log in; return the number of requests."""
    secret = log_in(server)
    cookie = {"Cookie": f"session_bench={secret}"}
    each = max(1, round(seconds / 3))
    rates = [
        load(server.url + path, each, 32, headers)
        for path, headers in (
            ("/", cookie),
            ("/account/manage", cookie),
            ("/api/v1/account", {"Authorization": f"Bearer {secret}"}),
        )
    ]
    for number in range(log_ins):
        if number % 3:
            log_in(server)
            continue
        try:
            log_in(server, "wrong")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 401:
                raise
    return int(sum(rates) * each) + log_ins


def _worker(made: Site) -> float:
    command = [sys.executable, "-m", "arq", "worker.WorkerSettings"]
    log = (made.folder / "worker.log").open("wb")
    worker = Process(
        subprocess.Popen(command, env=made.env, cwd=PROJECT_ROOT, stdout=log, stderr=log), 0
    )
    try:
        time.sleep(8)
        return worker.memory()
    finally:
        worker.stop()
        log.close()
