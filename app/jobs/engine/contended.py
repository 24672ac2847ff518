"""Leasing jobs whose rows are hardly ever free: their unique keys are enqueued all the time.

Each `enqueue` of such a key locks the row until its transaction ends, and `leases.take` passes over
rows that are locked. So a job that has been due for long is waited for, as those wait for it.
"""

import time
from collections import Counter

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.exc import DBAPIError

from app.away import is_lock_timeout
from app.config import settings
from app.database import Database
from app.jobs.context import Leased
from app.jobs.engine.leases import IS_WAITING, LEASED, TAKEN, leased
from app.jobs.models import LEASE_OVER, db_now, jobs
from app.jobs.queue import KINDS

OVERDUE = 5  # seconds for which a job has been due
# A sweep may take this much longer while somebody does not let go of such a row.
BRIEFLY = text("SET LOCAL lock_timeout = '200ms'")

# One at random: another may be locked for hours.
LATE = (
    select(jobs.c.id)
    .where(
        IS_WAITING,
        LEASE_OVER,
        jobs.c.unique_key.is_not(None),
        jobs.c.due_at <= db_now(-OVERDUE),
        jobs.c.name.in_(bindparam("names", expanding=True)),
    )
    .order_by(func.random())
    .limit(1)
)
# Without its key, so that nobody who enqueues it waits for it any more, nor it for them.
TAKE = (
    update(jobs)
    .where(jobs.c.id == bindparam("of_id"), IS_WAITING, LEASE_OVER)
    .values(LEASED | {"unique_key": None})
    .returning(*TAKEN)
)


async def take_late(database: Database, worker: str, held: Counter[str]) -> Leased | None:
    """Lease one such job; None if there is none, or if its row does not become free soon.

    `held` are the numbers of jobs of each name that this worker has, for `at_once`. Rows of SQLite
    are never locked by themselves.
    """
    if database.engine.dialect.name != "postgresql":
        return None
    asked = time.monotonic()
    names = [name for name, kind in KINDS.items() if held[name] < (kind.at_once or held[name] + 1)]
    try:
        async with database.begin() as connection:
            late = (await connection.execute(LATE, {"names": names})).scalar()
            if late is None:
                return None
            await connection.execute(BRIEFLY)
            values = {"of_id": late, "taker": worker, "seconds": settings.WORKER_LEASE}
            row = (await connection.execute(TAKE, values)).one_or_none()
    except DBAPIError as error:
        if not is_lock_timeout(error):
            raise
        return None
    return leased(row, asked) if row else None
