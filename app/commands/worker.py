"""The command that runs the worker."""

import click
from arq.worker import run_worker as arq_run_worker

from app.worker import worker_settings


def run_worker(config_name: str | None = None, *, burst: bool = False) -> None:
    """Run the worker until it is stopped, or with `burst` until every due job has run.

    Blocks the calling thread.
    """
    arq_run_worker(worker_settings(config_name, alone=True), burst=burst)


@click.command()
@click.option("--burst", is_flag=True, help="Run every due job, then exit.")
@click.pass_obj
def run_worker_command(config_name: str, burst: bool) -> None:
    """Run the background worker."""
    run_worker(config_name, burst=burst)
