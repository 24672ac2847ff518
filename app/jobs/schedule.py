"""Every recurring job, and what makes ordinary jobs of them."""

import logging
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Recurring:
    """A job without arguments, and when it runs: a line as in a crontab, in UTC."""

    name: str
    cron: str

    def __post_init__(self) -> None:
        latest(self.cron, utcnow())  # a mistake in the line shows at once


SCHEDULE: tuple[Recurring, ...] = (
    Recurring("accounts.delete_expired_credentials", "7 * * * *"),
    Recurring("jobs.delete_finished", "23 * * * *"),
)


async def enqueue_due(database: Database) -> None:
    """Enqueue what has come due: once for each tick however many workers there are, and once for all missed ones.

    The database's clock decides, and the row of a schedule says which tick was the last. A schedule that is new begins
    with its next tick.
    """
    async with database.session() as session:
        now: datetime = (await session.execute(select(moment()))).scalar_one()
        last = {row.name: row.tick for row in await session.execute(select(Schedule.name, Schedule.tick))}
    for recurring in SCHEDULE:
        tick = latest(recurring.cron, now)
        if recurring.name not in last:
            await _begin(database, recurring.name, tick)
        elif last[recurring.name] > now:
            logger.warning("%s has run at %s, which is yet to come: the clock was wrong", recurring.name, tick)
            async with database.transaction() as session:
                await session.execute(update(Schedule).where(Schedule.name == recurring.name).values(tick=tick))
        elif last[recurring.name] < tick:
            async with database.transaction() as session:
                later = update(Schedule).where(Schedule.name == recurring.name, Schedule.tick < tick)
                if (await session.execute(later.values(tick=tick).returning(Schedule.name))).first():
                    await enqueue(session, recurring.name, unique=f"{recurring.name}:{tick.isoformat()}")


async def _begin(database: Database, name: str, tick: datetime) -> None:
    async with database.transaction() as session:
        await session.execute(insert_into(session, Schedule).values(name=name, tick=tick).on_conflict_do_nothing())
