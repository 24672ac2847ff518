"""Recurring jobs: features register them, and each tick enqueues an ordinary job."""

import logging
from datetime import datetime, timedelta

from cronsim import CronSim
from quart import Quart
from sqlalchemy import select, update

from app.database import Database, insert_into, utcnow
from app.jobs.models import Schedule, db_now
from app.jobs.queue import enqueue

logger = logging.getLogger(__name__)


def latest(cron: str, now: datetime) -> datetime:
    """Return the last tick of a crontab line up to now."""
    return next(CronSim(cron, now.replace(microsecond=0) + timedelta(seconds=1), reverse=True))


def every(app: Quart, cron: str, name: str) -> None:
    """Run the job of this name on a schedule, as in a crontab, in UTC; it takes no arguments.

    A feature calls this in its `init_app`. Raises `CronSimError` for a mistake in `cron`.
    """
    latest(cron, utcnow())
    if name in app.extensions["schedule"]:
        raise ValueError(f"{name} is on the schedule twice.")
    app.extensions["schedule"][name] = cron


def init_app(app: Quart) -> None:
    """Register an empty schedule."""
    app.extensions["schedule"] = {}


async def enqueue_due(database: Database, schedule: dict[str, str]) -> None:
    """Enqueue the jobs whose tick has come.

    Idempotent: each tick enqueues one job however many workers there are, and all missed ticks
    together enqueue one. The database's clock decides, and the table `schedules` holds the last
    tick. A new schedule begins with its next tick.
    """
    async with database.session() as session:
        now: datetime = (await session.execute(select(db_now()))).scalar_one()
        last = {
            row.name: row.tick
            for row in await session.execute(select(Schedule.name, Schedule.tick))
        }
    for name, cron in schedule.items():
        tick = latest(cron, now)
        if name in last and tick <= last[name] <= now:
            continue
        tell = update(Schedule).where(Schedule.name == name).values(tick=tick)
        async with database.transaction() as session:
            if name not in last:
                new = insert_into(session, Schedule).values(name=name, tick=tick)
                await session.execute(new.on_conflict_do_nothing())
            elif last[name] > now:
                logger.warning(
                    "%s last ran at %s, which is in the future: a clock was wrong", name, last[name]
                )
                await session.execute(tell)
            elif (
                await session.execute(tell.where(Schedule.tick < tick).returning(Schedule.name))
            ).first():
                await enqueue(session, name, unique=tick.isoformat())
