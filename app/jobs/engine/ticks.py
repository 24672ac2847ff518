"""Enqueueing recurring jobs when their ticks come, once however many workers there are."""

import logging
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database, insert_into
from app.jobs.models import Job, Schedule, State, db_now
from app.jobs.queue import KeyIsLocked, enqueue
from app.jobs.schedule import Recurring, latest

logger = logging.getLogger(__name__)


async def enqueue_due(database: Database, schedule: dict[str, Recurring]) -> None:
    """Enqueue the jobs whose tick has come.

    Idempotent: each tick enqueues one job however many workers there are, and all missed ticks
    together enqueue one. The database's clock decides, and the table `schedules` holds the last
    tick. A new schedule begins with its next tick. What another transaction has locked is left to
    the next call.
    """
    async with database.session() as session:
        now: datetime = (await session.execute(select(db_now()))).scalar_one()
        rows = await session.execute(select(Schedule.name, Schedule.tick))
        last = {row.name: row.tick for row in rows}
    for name, recurring in schedule.items():
        tick = latest(recurring.cron, now)
        if name in last and last[name] <= now and tick <= last[name]:
            continue
        try:
            async with database.transaction() as session:
                if name in last:
                    await _enqueue(session, name, tick, now, recurring.overlapping)
                else:
                    new = insert_into(session, Schedule).values(name=name, tick=tick)
                    await session.execute(new.on_conflict_do_nothing())
        except KeyIsLocked:
            logger.warning("%s is on the schedule, and waits: somebody enqueues it now", name)


async def _enqueue(
    session: AsyncSession, name: str, tick: datetime, now: datetime, overlapping: bool
) -> None:
    row = select(Schedule.tick).where(Schedule.name == name).with_for_update(skip_locked=True)
    last = (await session.execute(row)).scalar_one_or_none()
    if last is None or tick <= last <= now:
        return  # another worker has been faster
    key = tick.isoformat() if overlapping else "tick"
    wanted = True
    if last > now:
        logger.warning("%s last ran at %s, which is in the future: a clock was wrong", name, last)
        wanted = False
    elif not overlapping:
        # Those that run or are about to, and the one of an earlier tick.
        mine = f"{name}:{key}"
        soon = or_(Job.attempt > 0, Job.due_at <= db_now(), Job.unique_key == mine)
        is_open = or_(Job.state == State.RUNNING, (Job.state == State.WAITING) & soon)
        query = select(Job.unique_key).where(Job.name == name, is_open)
        found = set((await session.execute(query)).scalars())
        if found - {mine}:
            return  # this tick comes due again, until these jobs have ended
        wanted = not found  # the one that waits becomes the job of this tick
    await session.execute(update(Schedule).where(Schedule.name == name).values(tick=tick))
    if wanted:
        await enqueue(session, name, unique=key)
