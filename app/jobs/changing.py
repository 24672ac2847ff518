"""Changing many jobs by a command, batch by batch, and what it says of them at its end."""

from collections.abc import Awaitable, Callable, Collection
from uuid import UUID

import click
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import db
from app.errors import Problem
from app.interruptions import until_interrupted
from app.jobs import service
from app.jobs.command_line import require_choice, run_in_application, unknown
from app.jobs.models import State
from app.jobs.queue import KINDS
from app.jobs.service import BATCH, Filter
from app.terminal import printable

Change = Callable[[AsyncSession, Collection[UUID], set[UUID]], Awaitable[int]]
GoOn = Callable[[], bool]  # whether no signal has come


class Changing:
    """What has become of jobs that are being changed."""

    def __init__(self, change: Change, now: str) -> None:
        self.now = now  # what those are that were changed
        self.number = 0
        self.passed_over: set[UUID] = set()  # since other transactions hold them
        self._change = change

    @property
    def said(self) -> str:
        """How many were changed."""
        return f"{_jobs(self.number)} {self.now}"

    async def named(self, ids: list[UUID], go_on: GoOn) -> bool:
        """Change one batch after the other; returns whether those were all."""
        for first in range(0, len(ids), BATCH):
            if not go_on():
                return False
            async with db.transaction() as session:
                number = await self._change(session, ids[first : first + BATCH], self.passed_over)
            self.number += number
        return True

    async def chosen(self, wanted: Filter, go_on: GoOn) -> bool:
        """Change batches in the order of ids: so each job is met once. Returns as `named` does."""
        last = None
        while go_on():
            async with db.transaction() as session:
                ids = await service.find_ids(session, wanted, after=last)
                number = await self._change(session, ids, self.passed_over)
            self.number += number
            if len(ids) < BATCH:
                return True
            last = ids[-1]
        return False


def change_all(
    change: Change, job_ids: Collection[UUID], wanted: Filter, now: str, others: str
) -> None:
    """Change the jobs of these ids, or those that are wanted, and print how many were changed.

    They are `now` due, for example. `others` is what keeps one from being changed. Raises
    `Problem` for what was not changed, and `KeyboardInterrupt` if a signal has stopped it.
    """
    require_choice(job_ids, wanted)
    ids = sorted(set(job_ids))
    changing = Changing(change, now)
    with until_interrupted() as go_on:
        try:
            finished = run_in_application(
                changing.named(ids, go_on) if ids else changing.chosen(wanted, go_on)
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Stopped in the middle. {changing.said}, and perhaps {BATCH:,} more."
            ) from None
        except Exception as error:
            if changing.number:
                error.add_note(f"Before that {changing.said}.")
            raise
    if not finished:
        raise KeyboardInterrupt(f"Stopped. {changing.said}, and the others as before.")
    _require_all(changing, ids, others)
    click.echo(f"{changing.said}." if changing.number else f"There is no job that could be {now}.")
    if not changing.number:
        say_if_unknown(wanted)


def _require_all(changing: Changing, ids: list[UUID], others: str) -> None:
    """Raise `Problem` if some were not changed that were named, or that could have been."""
    locked = len(changing.passed_over)
    if len(ids) == 1 and not changing.number and not locked:
        raise Problem(run_in_application(_what_it_is(ids[0])))
    words = f"{changing.said}, of {len(ids):,}" if ids else changing.said
    if len(ids) > changing.number + locked:
        words += f": each of the others does not exist, {others}, or runs now"
    if locked:
        words += (
            f". {_jobs(locked)} passed over, which other transactions hold: try again when they "
            "have ended"
        )
    if locked or len(ids) > changing.number:
        raise Problem(f"{words}.")


async def _what_it_is(job_id: UUID) -> str:
    """Say why one job could not be changed. Raises `NotFound`."""
    async with db.session() as session:
        job = await service.find_job(session, job_id)
    is_so = "runs now" if job.state == State.RUNNING else f"is {job.state}"
    return f"Nothing was changed: {printable(job.name)} ({job.id}) {is_so}."


def say_if_unknown(wanted: Filter) -> None:
    """Print that jobs were looked for by a name that this release does not declare."""
    if wanted.name is not None and wanted.name not in KINDS:
        click.echo(unknown(wanted.name), err=True)


def _jobs(number: int) -> str:
    return f"{number:,} job is" if number == 1 else f"{number:,} jobs are"
