"""How fast durable jobs are, compared with arq's own on the same Valkey.

Throughput: from the first job's start until the worker has recorded the last; nothing is enqueued
meanwhile. Bare arq runs with the same number of jobs at once, poll delay and serialiser. Latency:
from the return of the commit until the job's function begins in an idle worker, in another process.
The rounds interleave what is compared: quote the ratios.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from app.environment import PROJECT_ROOT
from tests.servers import start_postgresql, start_valkey

ROW = "{:<44} {:>9} {:>8} {:>8}"
ENQUEUED = 10_000

KINDS = (("noop", "does nothing", "≥ 1.0"), ("write", "writes a row, completing with it", "≥ 0.5"))


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Rounds, which interleave the rows.")
@click.option("-n", "--number", default=3000, show_default=True, help="Jobs for each figure.")
@click.option("--wakes", default=200, show_default=True, help="Jobs to measure latency with.")
def jobs(rounds: int, number: int, wakes: int) -> None:
    """Compare durable jobs with bare arq, and measure how soon an idle worker begins."""
    folder = Path(tempfile.mkdtemp(prefix="quart-base-bench-"))
    folder.chmod(0o755)
    (folder / "durable").mkdir(mode=0o755)
    valkey, socket = start_valkey(folder)
    postgresql, home = start_postgresql(folder)
    durable, durable_home = start_postgresql(folder / "durable", durable=True)
    databases = {
        "PostgreSQL": f"postgresql://postgres@/postgres?host={home}",
        "PostgreSQL, fsync": f"postgresql://postgres@/postgres?host={durable_home}",
        "SQLite": f"sqlite:///{folder / 'bench_test.sqlite3'}",
    }
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        "QUART_CONFIG": "testing",
        "REDIS_URL": f"unix://{socket}",
        "INSTANCE_PATH": str(folder / "instance"),
        "LOG_LEVEL": "WARNING",
    }

    def measure(what: str, database: str, count: int, **more: str) -> list[float]:
        command = [sys.executable, "-m", "bench.measure", what, str(count)]
        env = environment | {"TEST_DATABASE_URL": databases[database]} | more
        done = subprocess.run(
            command, env=env, cwd=PROJECT_ROOT, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise click.ClickException(done.stderr)
        return [float(value) for value in json.loads(done.stdout.splitlines()[-1])]

    try:
        for at_once in ("100", "10"):
            _print_throughput(list(databases), rounds, number, at_once, measure)
        click.echo(f"\n{ENQUEUED:,} jobs enqueued in one transaction, s")
        for name in databases:
            seconds = statistics.median(
                measure("enqueue", name, ENQUEUED)[0] for _ in range(rounds)
            )
            click.echo(ROW.format(name, f"{seconds:.2f}", "", "< 2"))
        click.echo("\nFrom commit to begin in an idle worker, ms: p50, p90, p99")
        for name in databases:
            spread = statistics.quantiles(measure("wake", name, wakes), n=100)
            shown = ", ".join(f"{spread[p - 1] * 1000:.1f}" for p in (50, 90, 99))
            click.echo(f"{name:<44} {shown}")
    finally:
        durable.stop()
        postgresql.stop()
        valkey.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _print_throughput(
    databases: list[str],
    rounds: int,
    number: int,
    at_once: str,
    measure: Callable[..., list[float]],
) -> None:
    rows = {("bare arq", ""): ("bare", databases[0], "")}
    for database in databases:
        kinds = KINDS if database != "SQLite" else [(*kind[:2], "") for kind in KINDS]
        rows |= {(database, label): (what, database, goal) for what, label, goal in kinds}
    rates: dict[tuple[str, str], list[float]] = {row: [] for row in rows}
    for _ in range(rounds):
        for row, (what, database, _) in rows.items():
            seconds = measure(what, database, number, WORKER_MAX_JOBS=at_once)[0]
            rates[row].append(number / seconds)
    click.echo(
        "\n" + ROW.format(f"{number:,} jobs, {at_once} at once", "a second", "ratio", "goal")
    )
    for row, (_, _, goal) in rows.items():
        pairs = zip(rates[row], rates["bare arq", ""], strict=True)
        ratio = statistics.median(rate / bare for rate, bare in pairs)
        label = ": ".join(part for part in row if part)
        rate = f"{statistics.median(rates[row]):,.0f}"
        click.echo(ROW.format(label, rate, f"{ratio:.2f}", goal))
