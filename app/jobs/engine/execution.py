"""Running the function of one job, and describing what it failed with."""

import asyncio
import logging
import os
from typing import NoReturn
from uuid import UUID

from quart import Quart, current_app

from app.config import Config, settings
from app.database import db
from app.jobs import acts
from app.jobs.context import GiveUp, Leased, LeaseLost, current
from app.jobs.engine import leases
from app.jobs.queue import KINDS
from app.trail import Origin, Subject, origin, record

logger = logging.getLogger("app.jobs")


class TookTooLong(Exception):
    """A job reached its time limit."""


async def run_now(job_id: UUID) -> BaseException | None:
    """Run one job in this process, whatever its state, and record the outcome.

    Returns what it failed with: `LeaseLost` if this process was suspended for so long that a worker
    has taken the job over. If this is cancelled, the job is released and a worker runs it. Raises
    as `leases.start` does.
    """
    async with db.transaction() as session:
        job = await leases.start(session, job_id)
        record(session, acts.RUN, Subject("job", str(job.id), job.name))
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
    if job.completed or isinstance(error, LeaseLost):
        return error
    async with db.transaction() as session:
        if error:
            recorded = await leases.fail(session, job, *describe_error(error))
        else:
            recorded = bool(await leases.finish(session, [job.key]))
    return error if recorded else LeaseLost()


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
        raise RuntimeError(f"It raised {type(error).__name__}({error}).") from error


def time_limit(job: Leased, settings: Config) -> float:
    """Return the seconds that a job may run."""
    return KINDS[job.name].timeout or settings.WORKER_JOB_TIMEOUT


def describe_error(error: BaseException) -> tuple[str, bool]:
    """Return the text to keep of an error, and whether it rules out another attempt."""
    final = isinstance(error, GiveUp)
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    if final or isinstance(error, TookTooLong):
        return text, final
    return f"{type(error).__name__}: {text}", final


def kill_worker(job: Leased) -> NoReturn:
    """End this process at once, since a job cannot be stopped otherwise.

    The leases of its other jobs run out, and other workers run them.
    """
    logger.critical("%s ignores its cancellation: this worker ends with it", job.name)
    os._exit(1)
