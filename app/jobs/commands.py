"""`manage.py jobs`: list, show, retry, discard and run jobs."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

import click

from app import application
from app.database import db
from app.errors import Problem
from app.jobs import service
from app.jobs.context import LeaseLost
from app.jobs.engine import execution
from app.jobs.models import Job, State
from app.jobs.queue import KINDS

T = TypeVar("T")

IDS = click.argument("job_ids", nargs=-1, required=True, type=click.UUID, metavar="ID...")


@click.group()
def jobs_group() -> None:
    """Look at background jobs, and retry, discard or run them."""


@jobs_group.command("list")
@click.option(
    "--state", type=click.Choice([state.value for state in State]), help="Only jobs in this state."
)
@click.option("--name", help="Only jobs of this name.")
@click.option(
    "-n",
    "--number",
    default=50,
    show_default=True,
    type=click.IntRange(1),
    help="At most this many.",
)
def list_command(state: str | None, name: str | None, number: int) -> None:
    """List the newest jobs; times are in UTC."""
    jobs = _run(_list(state, name, number))
    if not jobs:
        click.echo("There are none.", err=True)
    for job in jobs:
        error = f"  {job.error.splitlines()[0][:120]}" if job.error else ""
        click.echo(
            f"{job.id}  {_when(job.created_at)}  {job.state:<9} {_attempts(job):>6}  "
            f"{job.name}{error}"
        )


async def _list(state: str | None, name: str | None, number: int) -> list[Job]:
    async with db.session() as session:
        return await service.list_jobs(session, state=state, name=name, limit=number)


@jobs_group.command()
@click.argument("job_id", type=click.UUID, metavar="ID")
def show(job_id: UUID) -> None:
    """Show everything about one job."""
    job = _run(_find(job_id))
    facts = {
        "name": job.name,
        "arguments": json.dumps(job.args),
        "state": job.state if job.name in KINDS else f"{job.state}, and unknown to this release",
        "attempts": _attempts(job),
        "created": _when(job.created_at),
        "due": _when(job.due_at),
        "lease until": _when(job.leased_until),
        "started": _when(job.started_at),
        "finished": _when(job.finished_at),
        "worker": job.worker,
        "progress": json.dumps(job.progress) if job.progress else None,
        "error": job.error,
    }
    for name, value in facts.items():
        if value:
            click.echo(f"{name + ':':<12} {value}")


async def _find(job_id: UUID) -> Job:
    async with db.session() as session:
        return await service.find_job(session, job_id)


@jobs_group.command()
@IDS
def retry(job_ids: tuple[UUID, ...]) -> None:
    """Make jobs due now, with all their attempts."""
    _say("Retrying", _run(_change(service.retry_jobs, job_ids)), len(job_ids))


@jobs_group.command()
@IDS
def discard(job_ids: tuple[UUID, ...]) -> None:
    """Never run these jobs; `retry` brings them back."""
    _say("Discarded", _run(_change(service.discard_jobs, job_ids)), len(job_ids))


async def _change(change: Any, job_ids: tuple[UUID, ...]) -> int:
    async with db.transaction() as session:
        return int(await change(session, job_ids))


@jobs_group.command()
@click.argument("job_id", type=click.UUID, metavar="ID")
def run(job_id: UUID) -> None:
    """Run one job now, in the foreground."""
    try:
        name, error = _run(_run_now(job_id))
    except KeyboardInterrupt:
        raise Problem(
            f"Stopped: a worker runs it from the beginning unless you discard {job_id}."
        ) from None
    if isinstance(error, LeaseLost):
        raise Problem(
            f"{name} has lost its lease: a worker has taken it over, and nothing is recorded of "
            f"this attempt. See: python manage.py jobs show {job_id}"
        )
    if error:
        raise click.ClickException(f"{name} failed: {execution.describe_error(error)[0]}")
    click.echo(f"{name} is done.")


async def _run_now(job_id: UUID) -> tuple[str, BaseException | None]:
    job = await _find(job_id)
    return job.name, await execution.run_now(job_id)


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def inside() -> T:
        async with application(click.get_current_context().obj):
            return await coroutine

    return asyncio.run(inside())


def _say(done: str, changed: int, asked: int) -> None:
    if changed < asked:
        raise Problem(
            f"{done} {changed} of {asked} jobs: the others do not exist, are done, or are running "
            "now."
        )
    click.echo(f"{done} {changed} {'job' if changed == 1 else 'jobs'}.")


def _attempts(job: Job) -> str:
    return (
        f"{job.attempt}/{KINDS[job.name].max_attempts}" if job.name in KINDS else str(job.attempt)
    )


def _when(moment: Any) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""
