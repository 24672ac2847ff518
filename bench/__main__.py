"""The command line of the benchmarks."""

import click

from bench.jobs import jobs


@click.group()
def bench() -> None:
    """Measure this installation, on PostgreSQL and Valkey out of the test extra's wheels."""


bench.add_command(jobs)

if __name__ == "__main__":
    bench(prog_name="python -m bench")
