"""Running the function of one job."""

import asyncio
from uuid import UUID

from quart import Quart, current_app

from app.config import Config, settings
from app.database import db
from app.jobs.context import GiveUp, Leased, current
from app.jobs.engine import leases
from app.jobs.queue import KINDS


async def run_now(job_id: UUID) -> BaseException | None:
    """Run one job in this process, whatever its state; returns what it failed with.

    Raises as `leases.start` does.
    """
    async with db.transaction() as session:
        job = await leases.start(session, job_id)
    # The proxies will do: the task begins in this context.
    task = asyncio.ensure_future(perform(job, current_app, settings))
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        async with db.transaction() as session:
            await leases.release(session, [job.key])
        raise
    error = task.exception()
    async with db.transaction() as session:
        if not job.completed and error:
            await leases.fail(session, job, *in_words(error))
        elif not job.completed:
            await leases.finish(session, [job.key])
    return error


def in_words(error: BaseException) -> tuple[str, bool]:
    """What is kept of an error, and whether it is final."""
    final = isinstance(error, GiveUp)
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    return text if final or isinstance(
        error, TookTooLong
    ) else f"{type(error).__name__}: {text}", final


def time_of(job: Leased, settings: Config) -> float:
    """The seconds that a job may take."""
    return KINDS[job.name].timeout or settings.WORKER_JOB_TIMEOUT


class TookTooLong(Exception):
    """A job used up its time."""


async def perform(job: Leased, app: Quart, settings: Config) -> None:
    """Run the function of a job, in the app's context and within its time.

    What it raises is what it raises.
    """
    current.set(job)
    seconds = time_of(job, settings)
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
    except (SystemExit, KeyboardInterrupt) as error:  # which would end the worker
        raise RuntimeError(f"It raised {type(error).__name__}({error}).") from error
