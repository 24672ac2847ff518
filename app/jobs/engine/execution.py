"""Running the function of one job, and describing what it failed with."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, cast
from uuid import UUID

from quart import Quart, current_app
from sqlalchemy.ext.asyncio import AsyncSession

from app.config import Config, settings
from app.database import db
from app.jobs import acts
from app.jobs.context import GiveUp, Leased, LeaseLost, current
from app.jobs.engine import leases
from app.jobs.engine.leases import Changed
from app.jobs.engine.result_writer import RETRY_DELAY
from app.jobs.queue import KINDS, enqueue
from app.trail import Origin, Subject, origin, record

logger = logging.getLogger("app.jobs")

# Seconds that a worker which stops waits for the database, and for a job that it has cancelled.
LAST_WORDS = 5


class TookTooLong(Exception):
    """A job reached its time limit."""


class IgnoresCancellation(Exception):
    """A job that was cancelled runs on: nothing but the end of this process ends it."""


async def start(job_id: UUID, *, again: bool = False) -> Leased:
    """Start one job in this process, whether it is due or not. Raises as `leases.start` does."""
    async with db.transaction() as session:
        return await _start(session, job_id, again=again)


async def start_new(name: str, args: dict[str, Any]) -> Leased:
    """Add a job and start it in this process, before any worker can. Raises as `enqueue` does."""
    async with db.transaction() as session:
        job_id = await enqueue(session, name, **args)
        return await _start(session, cast(UUID, job_id), again=False)


async def _start(session: AsyncSession, job_id: UUID, *, again: bool) -> Leased:
    job = await leases.start(session, job_id, again=again)
    record(session, acts.RUN, Subject("job", str(job.id), job.name))
    return job


async def run_now(job: Leased) -> BaseException | None:
    """Run a job that was started in this process, and record the outcome.

    Returns what it failed with: `LeaseLost` if this process was suspended for so long that a worker
    has taken the job over. If this is cancelled, the job is released and a worker runs it, unless
    it has completed. Raises `IgnoresCancellation` if it runs on: it keeps its lease then, so that
    no worker runs it beside this process, which has to end before the lease does.
    """
    # The proxies will do: the task begins in this context.
    task = asyncio.ensure_future(perform(job, current_app, settings))
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task], timeout=LAST_WORDS)
        if not task.done():
            raise IgnoresCancellation from None
        if not task.cancelled():
            task.exception()  # asyncio would complain that nobody has asked for it
        await release(job)
        raise
    error = error_of(task)
    if job.completed or isinstance(error, LeaseLost):
        return error
    if error:
        text, final = describe_error(error)
        recorded = await _record(job, lambda session: leases.fail(session, job, text, final))
    else:
        recorded = await _record(job, lambda session: leases.finish(session, [job.key]))
    return error if recorded else LeaseLost()


async def release(job: Leased) -> None:
    """Leave a job that was started in this process to a worker, unless it has completed."""
    await _record(job, lambda session: leases.release(session, [job.key]))


async def _record(job: Leased, write: Callable[[AsyncSession], Awaitable[Changed]]) -> bool:
    """Write the outcome, as soon as no other transaction locks the job; false if it was lost."""
    while True:
        async with db.transaction() as session:
            changed = await write(session)
        if not changed.locked:
            return bool(changed.done)
        await asyncio.sleep(RETRY_DELAY)


async def perform(job: Leased, app: Quart, settings: Config) -> None:
    """Run the function of a job, in the app's context and within its time limit.

    Raises whatever the function raises; `TookTooLong` at the time limit; and `RuntimeError` in
    place of what would end the worker.
    """
    current.set(job)
    origin.set(lambda: Origin("job", via=job.name))
    seconds = time_limit(job, settings)
    try:
        async with app.app_context(), asyncio.timeout(seconds) as limit:
            await KINDS[job.name].function(**job.args)
    except TimeoutError:
        if limit.expired():
            raise TookTooLong(f"It took longer than {seconds:g} s.") from None
        raise
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        raise RuntimeError("Something that it waited for was cancelled.") from None
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"It raised {type(error).__name__}({text_of(error)}).") from error


def error_of(task: "asyncio.Task[None]") -> BaseException | None:
    """Return what the function of a job failed with, if nobody else has cancelled it."""
    if task.cancelled():
        return RuntimeError("It has cancelled itself.")
    return task.exception()


def time_limit(job: Leased, settings: Config) -> float:
    """Return the seconds that a job may run."""
    return KINDS[job.name].timeout or settings.WORKER_JOB_TIMEOUT


def text_of(error: BaseException) -> str:
    """Return the text of an error, or at least that it has none: its job has ended all the same."""
    try:
        return str(error)[: leases.LONGEST_ERROR]
    except BaseException:
        return "(its text cannot be had)"


def describe_error(error: BaseException) -> tuple[str, bool]:
    """Return the text to keep of an error, and whether it rules out another attempt."""
    text, final = text_of(error), isinstance(error, GiveUp)
    if final or isinstance(error, TookTooLong):
        return text, final
    if isinstance(error, BaseExceptionGroup):
        several = "; ".join(describe_error(each)[0] for each in error.exceptions)
        return f"{type(error).__name__}: {text}: {several}", final
    return f"{type(error).__name__}: {text}", final


def kill_worker(job: Leased) -> NoReturn:
    """End this process at once, since a job cannot be stopped otherwise.

    The leases of its other jobs run out, and other workers run them.
    """
    logger.critical("%s ignores its cancellation: this worker ends with it", job.name)
    os._exit(1)
