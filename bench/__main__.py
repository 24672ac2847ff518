"""The command line of the benchmarks."""

import click

from bench.growth import growth
from bench.jobs import jobs
from bench.lists import lists
from bench.memory import memory
from bench.servers import servers
from bench.web import web


@click.group()
def bench() -> None:
    """Measure this installation, on PostgreSQL and Valkey out of the test extra's wheels."""


for command in (web, jobs, growth, lists, memory, servers):
    bench.add_command(command)

if __name__ == "__main__":
    bench(prog_name="python -m bench")
