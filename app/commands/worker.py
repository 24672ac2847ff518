"""The command that runs the worker."""

import click
from arq.worker import run_worker as arq_run_worker

from app.worker import worker_settings


def run_worker(config_name: str | None = None, *, burst: bool = False) -> None:
    """Run the worker until it is told to stop, or with `burst` until everything due is done.

    Blocks.
    """
    arq_run_worker(worker_settings(config_name), burst=burst)


@click.command()
@click.option("--burst", is_flag=True, help="Run everything that is due, then end.")
@click.pass_obj
def run_worker_command(config_name: str, burst: bool) -> None:
    """Run the background worker."""
    run_worker(config_name, burst=burst)
