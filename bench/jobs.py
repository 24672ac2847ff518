"""How fast durable jobs are, compared with arq's own on the same Valkey.

Throughput: from the first job's start until the worker has recorded the last; nothing is enqueued
meanwhile. Bare arq runs with the same number of jobs at once, poll delay and serialiser. Latency:
from the return of the commit until the job's function begins in an idle worker, in another process.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from app.environment import PROJECT_ROOT
from tests.servers import start_postgresql, start_valkey

ROW = "{:<34} {:>9} {:>8}"


@click.command()
@click.option(
    "-n",
    "--number",
    default=3000,
    show_default=True,
    help="Jobs for each measurement of throughput.",
)
@click.option("--max-jobs", default=100, show_default=True, help="Jobs that a worker runs at once.")
@click.option(
    "--wakes", default=200, show_default=True, help="Jobs for the measurement of latency."
)
def jobs(number: int, max_jobs: int, wakes: int) -> None:
    """Compare durable jobs with bare arq, and measure how soon an idle worker begins."""
    folder = Path(tempfile.mkdtemp(prefix="quart-base-bench-"))
    folder.chmod(0o755)
    valkey, socket = start_valkey(folder)
    postgresql, home = start_postgresql(folder)
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        "QUART_CONFIG": "testing",
        "REDIS_URL": f"unix://{socket}",
        "INSTANCE_PATH": str(folder / "instance"),
        "WORKER_MAX_JOBS": str(max_jobs),
        "LOG_LEVEL": "WARNING",
    }
    databases = {
        "PostgreSQL": f"postgresql://postgres@/postgres?host={home}",
        "SQLite": f"sqlite:///{folder / 'bench_test.sqlite3'}",
    }

    def measure(what: str, url: str, count: int) -> list[float]:
        command = [sys.executable, "-m", "bench.measure", what, str(count)]
        env = environment | {"TEST_DATABASE_URL": url}
        done = subprocess.run(
            command, env=env, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True
        )
        return [float(value) for value in json.loads(done.stdout.splitlines()[-1])]

    try:
        click.echo(ROW.format(f"{number} jobs, {max_jobs} at once", "jobs/s", "ratio"))
        bare = number / measure("bare", databases["SQLite"], number)[0]
        click.echo(ROW.format("bare arq", f"{bare:.0f}", "1.00"))
        for name, url in databases.items():
            for what, label in (("noop", "no-op"), ("write", "writes a row, completing with it")):
                rate = number / measure(what, url, number)[0]
                click.echo(ROW.format(f"{name}: {label}", f"{rate:.0f}", f"{rate / bare:.2f}"))
        click.echo("\nFrom commit to begin in an idle worker, ms: p50, p90, p99")
        for name, url in databases.items():
            spread = statistics.quantiles(measure("wake", url, wakes), n=100)
            click.echo(
                f"{name:<34} " + ", ".join(f"{spread[p - 1] * 1000:.1f}" for p in (50, 90, 99))
            )
    finally:
        postgresql.stop()
        valkey.stop()
        shutil.rmtree(folder, ignore_errors=True)
