"""`manage.py jobs`: list, show, retry, discard and run jobs."""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import click

from app import interruptions
from app.config import settings
from app.database import db, utcnow
from app.errors import Problem
from app.health.findings import reason
from app.jobs import service
from app.jobs.changing import change_all, say_if_unknown
from app.jobs.command_line import Moment, Words, arguments_of, run_in_application
from app.jobs.context import Leased, LeaseLost
from app.jobs.engine import execution
from app.jobs.engine.threads import JobThreads
from app.jobs.models import Job, Priority, State
from app.jobs.queue import KINDS
from app.jobs.schemas import JobOut
from app.jobs.service import BATCH, Filter
from app.terminal import printable

logger = logging.getLogger("app.jobs")

IDS = click.argument("job_ids", nargs=-1, type=click.UUID, metavar="[ID]...")
BEFORE = "Created before this time (UTC), or longer ago than this, like 12h."
LONGEST_LINE = 120  # characters of an error in a list
MOST = 1_000_000_000


def chosen_by(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose jobs by what they are; the command gets them as `wanted`."""

    @functools.wraps(command)
    def call(
        state: str | None, name: str | None, error: str | None, before: Any, **others: Any
    ) -> None:
        wanted = Filter(State(state) if state else None, name, error, before)
        command(wanted=wanted, **others)

    for option in (
        click.option("--before", type=Moment(), help=BEFORE),
        click.option("--error", type=Words(), help="Whose error contains this text."),
        click.option("--name", type=Words(), help="Of this name."),
        click.option(
            "--state", type=click.Choice([state.value for state in State]), help="In this state."
        ),
    ):
        call = option(call)
    return call


@click.group()
def jobs_group() -> None:
    """Look at background jobs, and retry, discard or run them."""


@jobs_group.command("list")
@chosen_by
@click.option(
    "-n",
    "--number",
    default=50,
    show_default=True,
    type=click.IntRange(1, MOST),
    help="At most this many.",
)
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_command(wanted: Filter, number: int, everything: bool, as_json: bool) -> None:
    """List the newest jobs; times are in UTC."""
    shown = run_in_application(_list(wanted, MOST if everything else number, as_json))
    if not shown:
        click.echo("There are none.", err=True)
        say_if_unknown(wanted)


async def _list(wanted: Filter, number: int, as_json: bool) -> int:
    shown = 0
    async for job in _newest(wanted, number):
        click.echo(_json(job) if as_json else _line(job))
        shown += 1
    return shown


async def _newest(wanted: Filter, number: int) -> AsyncIterator[Job]:
    """Yield jobs, the newest first, read in batches: a pager may take its time over each."""
    for ids in service.ids_by_age():
        last = None
        while number > 0:
            async with db.session() as session:
                size = min(number, BATCH)
                jobs = await service.list_jobs(session, wanted, ids, before=last, limit=size)
            for job in jobs:
                yield job
            number -= len(jobs)
            if len(jobs) < size:
                break
            last = jobs[-1].id


def _json(job: Job) -> str:
    """Return it as ASCII, which no terminal takes for a command."""
    return json.dumps(JobOut.of(job).model_dump(mode="json")).replace("\x7f", "\\u007f")


def _line(job: Job) -> str:
    first, *_ = (job.error or "").splitlines() or [""]
    error = f"  {printable(first[:LONGEST_LINE])}" if first else ""
    return (
        f"{job.id}  {_when(job.created_at)}  {job.state:<9} {_attempts(job):>6}  "
        f"{printable(job.name)}{error}"
    )


@jobs_group.command()
@click.argument("job_id", type=click.UUID, metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def show(job_id: UUID, as_json: bool) -> None:
    """Show everything about one job."""
    job = run_in_application(_find(job_id))
    if as_json:
        click.echo(_json(job))
        return
    facts = {
        "name": job.name,
        "arguments": json.dumps(job.args),
        "state": job.state if job.name in KINDS else f"{job.state}, and unknown to this release",
        "attempts": _attempts(job),
        "priority": _priority(job),
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
            click.echo(f"{name + ':':<12} {printable(value, lines=True)}")


async def _find(job_id: UUID) -> Job:
    async with db.session() as session:
        return await service.find_job(session, job_id)


@jobs_group.command()
@IDS
@chosen_by
def retry(job_ids: tuple[UUID, ...], wanted: Filter) -> None:
    """Make waiting, dead or discarded jobs due now, with all their attempts.

    Name them by their ids, or choose them by the options. A job that runs is changed only when its
    worker has died, and its lease is over.
    """
    change_all(service.retry_jobs, job_ids, wanted, "due now", "is done")


@jobs_group.command()
@IDS
@chosen_by
def discard(job_ids: tuple[UUID, ...], wanted: Filter) -> None:
    """Never run these waiting or dead jobs; `retry` brings them back.

    Name them by their ids, or choose them by the options. A job that runs is changed only when its
    worker has died, and its lease is over.
    """
    change_all(service.discard_jobs, job_ids, wanted, "discarded", "has ended")


@jobs_group.command()
@click.argument("job", metavar="ID|NAME")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT=VALUE]...")
@click.option("--again", is_flag=True, help="Run it although it is done.")
def run(job: str, arguments: tuple[str, ...], again: bool) -> None:
    """Run a job now, in the foreground.

    Give the ID of one that exists, or the NAME and the arguments of a new one. Its outcome is
    recorded as a worker would record it.

    Write lists, objects and null as JSON, text as it is: ids=[1,2] name=Ada.
    """
    existing = _as_id(job)
    if existing and arguments:
        raise click.UsageError("A job that exists has its arguments already.")
    if again and not existing:
        raise click.UsageError("A new job needs no --again.")
    attempt = _Attempt()
    threads = JobThreads(1)

    async def run_it() -> BaseException | None:
        asyncio.get_running_loop().set_default_executor(threads)
        # The arguments are read here, where the application has declared its jobs.
        return await attempt.make(
            execution.start(existing, again=again)
            if existing
            else execution.start_new(job, arguments_of(job, arguments))
        )

    try:
        error = run_in_application(
            run_it(), lambda inside: interruptions.run(inside, lambda: f"Stopped. {attempt.open}")
        )
    except (KeyboardInterrupt, SystemExit) as end:
        words = attempt.outcome or attempt.open
        if isinstance(end, SystemExit):
            raise Problem(f"Something in the job has left the process by an exit. {words}") from end
        raise KeyboardInterrupt(f"Stopped. {words}") from None
    except Exception as failure:
        if attempt.job:
            failure.add_note(attempt.open)
        raise
    finally:
        if threads.lost(()):
            click.echo("A thread of the job still runs. It ends now, with this process.", err=True)
    _report(attempt.begun, error)


def _report(leased: Leased, error: BaseException | None) -> None:
    """Say how a job went that has run here; raises for one that has failed."""
    if isinstance(error, LeaseLost):
        raise Problem(
            f"{leased.name} has lost its lease: a worker has taken it over, and nothing is "
            f"recorded of this attempt. See: python manage.py jobs show {leased.id}"
        )
    if error:
        text, final = execution.describe_error(error)
        if not (final or isinstance(error, execution.TookTooLong)):
            logger.warning("%s failed", leased.name, exc_info=error)
        failed = f"{leased.name} ({leased.id}) failed: {printable(text, lines=True)}"
        try:
            outcome = run_in_application(_become(leased))
        except Exception as other:
            other.add_note(f"Before that {failed}")
            raise
        raise click.ClickException(f"{failed}\n{outcome}")
    click.echo(f"{leased.name} ({leased.id}) is done.")


class _Attempt:
    """A job that is run here, as far as this process knows of it."""

    def __init__(self) -> None:
        self.job: Leased | None = None  # once it has begun
        self.outcome = ""  # what has become of it, if it was stopped
        self._ends: datetime | None = None  # its lease, at the latest

    @property
    def open(self) -> str:
        """What becomes of it if nothing more is recorded."""
        if not self.job:
            return "It had not begun, or only just. See: python manage.py jobs list"
        return _left_to_workers(self.job, self._ends)

    async def make(self, start: Coroutine[Any, Any, Leased]) -> BaseException | None:
        """Start it and run it here. Returns as `execution.run_now` does."""
        try:
            return await self._make(asyncio.ensure_future(start))
        except execution.IgnoresCancellation:
            words = f"Stopped. {self.begun.name} ignores its cancellation: this process ends it."
            interruptions.end_at_once(f"{words} {self.open}")
        except Exception as error:
            task = asyncio.current_task()
            if not (task and task.cancelling()):
                raise
            self.outcome = f"That could not be recorded: {reason(error)}. {self.open}"
            raise asyncio.CancelledError from None

    async def _make(self, starting: "asyncio.Future[Leased]") -> BaseException | None:
        try:
            self._begin(await asyncio.shield(starting))
            return await execution.run_now(self.begun)
        except asyncio.CancelledError:
            if not self.job:  # its transaction may have been committed
                self._begin(await starting)
                await execution.release(self.begun)
            self.outcome = await _become(self.begun)
            raise

    @property
    def begun(self) -> Leased:
        """The job, which has begun."""
        if not self.job:
            raise RuntimeError("It has not begun.")
        return self.job

    def _begin(self, job: Leased) -> None:
        seconds = execution.time_limit(job, settings) + settings.WORKER_LEASE
        self.job, self._ends = job, utcnow() + timedelta(seconds=seconds)


def _as_id(given: str) -> UUID | None:
    with contextlib.suppress(ValueError):
        return UUID(given)
    return None


async def _become(begun: Leased) -> str:
    """Return what becomes of a job that was begun here, as it is recorded."""
    job = await _find(begun.id)
    again = f"unless you discard it: python manage.py jobs discard {job.id}"
    if job.state == State.WAITING and job.attempt:
        return f"A worker tries it again after {_when(job.due_at)}, {again}"
    if job.state == State.WAITING:
        return f"{job.name} waits: a worker runs it from the beginning, {again}"
    if job.state == State.RUNNING and job.lease == begun.lease:
        unrecorded = _left_to_workers(begun, job.leased_until)
        return f"Its outcome could not be recorded: {unrecorded}"
    return f"{job.name} is {job.state}. See: python manage.py jobs show {job.id}"


def _left_to_workers(job: Leased, ends: datetime | None) -> str:
    """Return what becomes of a job that is recorded as running until its lease ends."""
    is_last = job.attempt >= KINDS[job.name].max_attempts
    then = "declares it dead" if is_last else "runs it from the beginning"
    return (
        f"{job.name} ({job.id}) counts as running. A worker {then} after {_when(ends)}, unless "
        f"you discard it then: python manage.py jobs discard {job.id}"
    )


def _attempts(job: Job) -> str:
    return (
        f"{job.attempt}/{KINDS[job.name].max_attempts}" if job.name in KINDS else str(job.attempt)
    )


def _priority(job: Job) -> str | None:
    try:
        return Priority(job.priority).name.lower() if job.priority else None
    except ValueError:  # another release has written it
        return str(job.priority)


def _when(moment: Any) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""
