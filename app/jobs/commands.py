"""`manage.py jobs`: list, show, retry, discard and run jobs."""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from typing import Any, TypeVar
from uuid import UUID

import click
from sqlalchemy.ext.asyncio import AsyncSession

from app import application
from app.database import db
from app.errors import Problem
from app.interruptions import until_interrupted
from app.jobs import service
from app.jobs.command_line import Moment, Words, arguments_of, require_choice
from app.jobs.context import Leased, LeaseLost
from app.jobs.engine import execution
from app.jobs.engine.threads import JobThreads
from app.jobs.models import Job, Priority, State
from app.jobs.queue import KINDS
from app.jobs.schemas import JobOut
from app.jobs.service import BATCH, Filter
from app.terminal import printable

logger = logging.getLogger("app.jobs")

T = TypeVar("T")
Change = Callable[[AsyncSession, Collection[UUID]], Awaitable[int]]
GoOn = Callable[[], bool]  # whether nobody has pressed Ctrl-C

IDS = click.argument("job_ids", nargs=-1, type=click.UUID, metavar="[ID]...")
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
        click.option("--before", type=Moment(), help="Created before this, or so long ago."),
        click.option("--error", type=Words(), help="With this text in their error."),
        click.option("--name", type=Words(), help="Of this name."),
        click.option("--state", type=click.Choice([state.value for state in State])),
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
    shown = _run(_list(wanted, MOST if everything else number, as_json))
    if not shown:
        click.echo("There are none.", err=True)


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
    job = _run(_find(job_id))
    if as_json:
        click.echo(_json(job))
        return
    facts = {
        "name": job.name,
        "arguments": json.dumps(job.args),
        "state": job.state if job.name in KINDS else f"{job.state}, and unknown to this release",
        "attempts": _attempts(job),
        "priority": Priority(job.priority).name.lower() if job.priority else None,
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
    """Make jobs due now, with all their attempts.

    Name them by their ids, or choose them by the options.
    """
    _change_all(service.retry_jobs, job_ids, wanted, "due now", "is done")


@jobs_group.command()
@IDS
@chosen_by
def discard(job_ids: tuple[UUID, ...], wanted: Filter) -> None:
    """Never run these jobs; `retry` brings them back.

    Name them by their ids, or choose them by the options.
    """
    _change_all(service.discard_jobs, job_ids, wanted, "discarded", "has ended")


def _change_all(
    change: Change, job_ids: tuple[UUID, ...], wanted: Filter, now: str, others: str
) -> None:
    require_choice(job_ids, wanted)
    ids = sorted(set(job_ids))
    changed: list[int] = []  # by each batch
    with until_interrupted() as go_on:
        try:
            finished = _run(
                _change_named(change, ids, changed, go_on)
                if ids
                else _change_chosen(change, wanted, changed, go_on)
            )
        except Exception as error:
            if changed:
                error.add_note(f"Before that {_jobs(sum(changed))} {now}.")
            raise
    number = sum(changed)
    if not finished:
        raise KeyboardInterrupt(f"Stopped. {_jobs(number)} {now}, and the others as before.")
    if number < len(ids):
        raise Problem(
            f"{_jobs(number)} {now}, of {len(ids):,}: each of the others does not exist, {others}, "
            "or runs now."
        )
    click.echo(f"{_jobs(number)} {now}." if number else f"There is no job that could be {now}.")


async def _change_named(change: Change, ids: list[UUID], changed: list[int], go_on: GoOn) -> bool:
    """Change one batch after the other; returns whether those were all."""
    for first in range(0, len(ids), BATCH):
        if not go_on():
            return False
        async with db.transaction() as session:
            number = await change(session, ids[first : first + BATCH])
        changed.append(number)
    return True


async def _change_chosen(change: Change, wanted: Filter, changed: list[int], go_on: GoOn) -> bool:
    """Change batches in the order of ids: so each job is met once. Returns as `_change_named`."""
    last = None
    while go_on():
        async with db.transaction() as session:
            ids = await service.find_ids(session, wanted, after=last)
            number = await change(session, ids)
        changed.append(number)
        if len(ids) < BATCH:
            return True
        last = ids[-1]
    return False


def _jobs(number: int) -> str:
    return f"{number:,} job is" if number == 1 else f"{number:,} jobs are"


@jobs_group.command()
@click.argument("job", metavar="ID|NAME")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT=VALUE]...")
@click.option("--again", is_flag=True, help="Even if it is done.")
def run(job: str, arguments: tuple[str, ...], again: bool) -> None:
    """Run a job now, in the foreground.

    Give the ID of one that exists, or the NAME and the arguments of a new one. Its outcome is
    recorded as a worker would record it.
    """
    existing = _as_id(job)
    if existing and arguments:
        raise click.UsageError("A job that exists has its arguments already.")
    if again and not existing:
        raise click.UsageError("A new job needs no --again.")
    begun: list[Leased] = []
    stopped: list[str] = []  # what has become of it
    threads = JobThreads(1)

    async def run_it() -> BaseException | None:
        asyncio.get_running_loop().set_default_executor(threads)
        # The arguments are read here, where the application has declared its jobs.
        start = (
            execution.start(existing, again=again)
            if existing
            else execution.start_new(job, arguments_of(job, arguments))
        )
        starting = asyncio.ensure_future(start)
        try:
            begun.append(await asyncio.shield(starting))
            return await execution.run_now(begun[0])
        except asyncio.CancelledError:
            if not begun:  # its transaction may have been committed
                begun.append(await starting)
                await execution.release(begun[0])
            stopped.append(await _become(begun[0]))
            raise

    try:
        error = _run(run_it())
    except (KeyboardInterrupt, SystemExit) as end:
        words = "".join(stopped) or "Its outcome could not be recorded." * bool(begun)
        if isinstance(end, SystemExit):
            raise Problem(f"Something in the job has left the process by an exit. {words}") from end
        raise KeyboardInterrupt(f"Stopped. {words or 'It had not begun.'}") from None
    finally:
        if threads.lost(()):
            click.echo("A thread of the job still runs. It ends now, with this process.", err=True)
    [leased] = begun
    if isinstance(error, LeaseLost):
        raise Problem(
            f"{leased.name} has lost its lease: a worker has taken it over, and nothing is "
            f"recorded of this attempt. See: python manage.py jobs show {leased.id}"
        )
    if error:
        text, final = execution.describe_error(error)
        if not (final or isinstance(error, execution.TookTooLong)):
            logger.warning("%s failed", leased.name, exc_info=error)
        shown = printable(text, lines=True)
        raise click.ClickException(
            f"{leased.name} ({leased.id}) failed: {shown}\n{_run(_become(leased))}"
        )
    click.echo(f"{leased.name} ({leased.id}) is done.")


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
        return (
            "Its outcome could not be recorded. A worker runs it from the beginning after "
            f"{_when(job.leased_until)}, {again}"
        )
    return f"{job.name} is {job.state}. See: python manage.py jobs show {job.id}"


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def inside() -> T:
        # Without the closing, Python would warn of it if the application cannot start.
        with contextlib.closing(coroutine):
            async with application(click.get_current_context().obj):
                return await coroutine

    return asyncio.run(inside())


def _attempts(job: Job) -> str:
    return (
        f"{job.attempt}/{KINDS[job.name].max_attempts}" if job.name in KINDS else str(job.attempt)
    )


def _when(moment: Any) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""
