"""Every recurring job, and what makes ordinary jobs of them."""

import logging
from datetime import datetime, timedelta

from cronsim import CronSim
from sqlalchemy import select, update

from app.database import Database, insert_into, utcnow
from app.jobs.models import Schedule, moment
from app.jobs.queue import enqueue

logger = logging.getLogger(__name__)


def latest(cron: str, now: datetime) -> datetime:
    """The last tick until now."""
    return next(CronSim(cron, now.replace(microsecond=0) + timedelta(seconds=1), reverse=True))


# Jobs without arguments, and when they run: times as in a crontab, in UTC.
SCHEDULE = {
    "accounts.delete_expired_credentials": "7 * * * *",
    "jobs.delete_finished": "23 * * * *",
}
for _times in SCHEDULE.values():
    latest(_times, utcnow())  # a mistake in one shows at once


async def enqueue_due(database: Database) -> None:
    """Enqueue what has come due.

    Once for each tick however many workers there are, and once for all missed ones.

    The database's clock decides, and the row of a schedule says which tick was the last. A schedule
    that is new begins with its next tick.
    """
    async with database.session() as session:
        now: datetime = (await session.execute(select(moment()))).scalar_one()
        last = {
            row.name: row.tick
            for row in await session.execute(select(Schedule.name, Schedule.tick))
        }
    for name, times in SCHEDULE.items():
        tick = latest(times, now)
        if name in last and tick <= last[name] <= now:
            continue
        tell = update(Schedule).where(Schedule.name == name).values(tick=tick)
        async with database.transaction() as session:
            if name not in last:
                new = insert_into(session, Schedule).values(name=name, tick=tick)
                await session.execute(new.on_conflict_do_nothing())
            elif last[name] > now:
                logger.warning(
                    "%s has run at %s, which is yet to come: the clock was wrong", name, last[name]
                )
                await session.execute(tell)
            elif (
                await session.execute(tell.where(Schedule.tick < tick).returning(Schedule.name))
            ).first():
                await enqueue(session, name, unique=f"{name}:{tick.isoformat()}")
