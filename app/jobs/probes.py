"""Probes of the queue: is a worker alive, and are there jobs that somebody has to deal with?"""

import asyncio
from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncSession

from app.away import DATABASE_AWAY, REDIS_AWAY
from app.health.findings import CheckMessage, Outcome, Services
from app.jobs.models import State
from app.jobs.queue import KINDS
from app.jobs.service import count_jobs
from app.jobs.workers import identify_database, of_others, workers
from app.validators.redis_url import shown


async def worker(services: Services) -> list[Outcome]:
    """Probe whether a worker of this installation is alive, and whether others use its keys."""
    settings = services.settings
    try:
        async with asyncio.timeout(services.patience):
            alive = await workers(services.redis, settings)
    except REDIS_AWAY:
        return []  # the probe of Redis says so
    others: list[str] = []
    if alive:  # else there is nothing to compare with
        with suppress(*DATABASE_AWAY):  # the probe of the database says so
            async with asyncio.timeout(services.patience):
                others = of_others(alive, await identify_database(services.engine))
    outcomes = [Outcome("worker", "ok", "is alive")]
    if len(others) == len(alive):
        hint = "Run: arq worker.WorkerSettings"
        found = CheckMessage("qb.E005", "No worker is alive: jobs wait.", hint)
        outcomes = [Outcome("worker", "degraded", "none is alive: jobs wait", found)]
    if others:
        message = (
            f"Another installation uses the same keys, REDIS_PREFIX={settings.REDIS_PREFIX}, in "
            f"Redis at {shown(settings.REDIS_URL)}: workers on another database than this one are "
            f"alive there ({', '.join(others)})."
        )
        hint = (
            "Set REDIS_PREFIX to another value in one of the two, and restart its web servers and "
            "workers."
        )
        shared = CheckMessage("qb.E020", message, hint)
        outcomes.append(Outcome("redis keys", "degraded", "are shared with others", shared))
    return outcomes


async def jobs(services: Services) -> list[Outcome]:
    """Probe for dead jobs, and for waiting jobs that this release does not declare."""
    if not services.database_usable:
        return []  # the probe of the database, which comes first, says so
    async with asyncio.timeout(services.patience), AsyncSession(services.engine) as session:
        counts = await count_jobs(session)
    found = []
    for (name, state), count in sorted(counts.items()):
        if state == State.DEAD:
            hint = (
                f"Look: python manage.py jobs list --state dead --name {name}; then retry or "
                "discard them by the same options."
            )
            message = CheckMessage("qb.W003", f"Dead jobs named {name}: {count}.", hint)
            found.append(Outcome("jobs", "degraded", "some are dead", message))
        elif name not in KINDS:
            hint = (
                "A worker of the release that has it runs them. If it was renamed or removed, end "
                f"them: python manage.py jobs discard --name {name}. If it is new, import its "
                "module in the feature.py of its feature."
            )
            words = f"Jobs named {name}, which this release does not know: {count}."
            message = CheckMessage("qb.W004", words, hint)
            found.append(Outcome("jobs", "degraded", "some are unknown", message))
    return found
