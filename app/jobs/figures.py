"""The state of the queue, for the dashboard: counted on request, or by a scheduled job."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import figures
from app.config import settings
from app.counting import Count, count
from app.database import db, utcnow
from app.durations import in_words
from app.jobs.models import Job, State, db_now
from app.web.plots import plot

FINISHED = "finished jobs"
SHOWN = (State.WAITING, State.RUNNING, State.DEAD)


async def load_card() -> dict[str, Any]:
    """Load the dashboard's card: jobs by state, the longest wait, and finished jobs by day."""
    async with db.session() as session:
        return {
            "states": {state: await _in_state(session, state) for state in SHOWN},
            "longest_wait": await _longest_wait(session),
            "plot": plot("Finished jobs", await figures.last_days(session, FINISHED)),
        }


async def _in_state(session: AsyncSession, state: State) -> Count:
    return await count(session, select(literal(1)).where(Job.state == state))


async def _longest_wait(session: AsyncSession) -> str:
    """Return how long the most overdue job has been waiting, in words; "" if none is overdue."""
    due = select(func.min(Job.due_at), db_now()).where(Job.state == State.WAITING)
    first, now = (await session.execute(due)).one()
    waited = (now - first).total_seconds() if first else 0
    return in_words(int(waited)) if waited >= 1 else ""


async def keep_finished() -> None:
    """Count the jobs that were finished on each of the last days, within `JOB_RETENTION`."""
    since = (utcnow() - timedelta(seconds=settings.JOB_RETENTION)).date() + timedelta(days=1)
    since, done = min(since, utcnow().date()), Job.state == State.DONE
    async with db.transaction() as session:
        await figures.count_days(session, FINISHED, Job.finished_at, done, since=since)
