"""Leasing jobs whose rows are hardly ever free: their unique keys are enqueued all the time.

Each `enqueue` of such a key locks the row until its transaction ends, and `leases.take` passes over
rows that are locked. So a job that has been due for long is waited for, as those wait for it.
"""

import random
import time
from collections import Counter
from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, select, text, update
from sqlalchemy.exc import DBAPIError

from app.away import is_lock_timeout
from app.config import settings
from app.database import Database
from app.jobs.context import Leased
from app.jobs.engine.leases import DUE, IS_WAITING, LEASED, TAKEN, leased
from app.jobs.models import LEASE_OVER, Priority, db_now, jobs
from app.jobs.queue import KINDS

OVERDUE = timedelta(seconds=5)  # for which a job has been due
# A sweep may take this much longer while somebody does not let go of such a row.
BRIEFLY = text("SET LOCAL lock_timeout = '200ms'")

FREE = (
    select(jobs.c.id)
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)))
    .with_for_update(skip_locked=True)
)
# Without its key, so that nobody who enqueues it waits for it any more, nor it for them.
TAKE = (
    update(jobs)
    .where(jobs.c.id == bindparam("of_id"), IS_WAITING, LEASE_OVER)
    .values(LEASED | {"unique_key": None})
    .returning(*TAKEN)
)


async def take_late(
    database: Database, worker: str, room: int, held: Counter[str]
) -> Leased | None:
    """Lease one such job that is among the next `room` jobs; None if its row stays locked.

    `held` are the numbers of jobs of each name that this worker has, for `at_once`. Rows of SQLite
    are never locked by themselves.
    """
    if room < 1 or database.engine.dialect.name != "postgresql":
        return None
    asked = time.monotonic()
    try:
        if not (late := await _late(database, room, held)):
            return None
        async with database.begin() as connection:
            await connection.execute(BRIEFLY)
            # Any of them: another may be locked for hours.
            chosen = random.choice(late)  # noqa: S311  (no secret)
            values = {"of_id": chosen, "taker": worker, "seconds": settings.WORKER_LEASE}
            row = (await connection.execute(TAKE, values)).one_or_none()
    except DBAPIError as error:
        if not is_lock_timeout(error):
            raise
        return None
    return leased(row, asked) if row else None


async def _late(database: Database, room: int, held: Counter[str]) -> list[UUID]:
    """Return those of the next jobs that are overdue, and which `leases.take` would pass over."""
    names = [name for name, kind in KINDS.items() if held[name] < (kind.at_once or held[name] + 1)]
    first: list[UUID] = []
    async with database.begin() as connection:
        since = (await connection.execute(select(db_now()))).scalar_one() - OVERDUE
        for priority in Priority:
            which = {"of_priority": priority, "names": names, "limit": room}
            rows = (await connection.execute(DUE, which)).all()
            room -= len(rows)
            first += [row.id for row in rows if row.unique_key and row.due_at <= since]
        if not first:
            return []
        free = (await connection.execute(FREE, {"ids": first})).scalars()
        return list(set(first) - set(free))
