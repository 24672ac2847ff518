"""Recurring jobs: features register them, and `engine/ticks.py` enqueues them as ordinary jobs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError
from quart import Quart

from app.database import utcnow
from app.jobs.queue import KINDS


def latest(cron: str, now: datetime) -> datetime:
    """Return the last tick of a crontab line up to now."""
    return next(CronSim(cron, now.replace(microsecond=0) + timedelta(seconds=1), reverse=True))


@dataclass(frozen=True, slots=True)
class Recurring:
    """When a recurring job is enqueued, and whether it may overlap itself."""

    cron: str
    overlapping: bool


def every(app: Quart, cron: str, name: str, *, overlapping: bool = False) -> None:
    """Run the job of this name on a schedule, as in a crontab, in UTC; it takes no arguments.

    A tick that comes while a job of this name still runs, or is about to be tried again, waits for
    its end, and with it all later ones: together they are one job. `overlapping` allows several at
    once. A feature calls this in its `init_app`, after the import that declares the job.

    Raises `ValueError` for a mistake in `cron`, and for a job that is not declared, that needs
    arguments, or that is on the schedule already.
    """
    try:
        latest(cron, utcnow())
    except CronSimError as error:
        raise ValueError(f"{name} is on the schedule at {cron!r}: {error}.") from None
    if name not in KINDS:
        raise ValueError(f"{name} is on the schedule, but no job of that name is declared.")
    try:
        KINDS[name].signature.bind()
    except TypeError as error:
        raise ValueError(f"{name} is on the schedule, but takes arguments: {error}.") from None
    if name in app.extensions["schedule"]:
        raise ValueError(f"{name} is on the schedule twice.")
    app.extensions["schedule"][name] = Recurring(cron, overlapping)


def init_app(app: Quart) -> None:
    """Register an empty schedule."""
    app.extensions["schedule"] = {}
