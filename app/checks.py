"""System checks: what is wrong with this installation, each with an id and what to do about it."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quart import Quart
from redis.exceptions import RedisError
from sqlalchemy import make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

import app.jobs.known  # noqa: F401  (every job)
from app.accounts.models import Role
from app.config import Config
from app.database import create_engine
from app.errors import NotReady
from app.jobs.heartbeat import any_worker
from app.jobs.models import State
from app.jobs.queue import KINDS
from app.jobs.service import count_jobs
from app.migrations import Revisions, Schema
from app.redis import request_redis
from app.web.access import declared

EMPTY = "qb.E002"  # the id of "nothing there yet"; development does something about it

# Given once, at start: a service may need a moment longer than a request would give it.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong. Ids that begin with qb.E are errors, with qb.W warnings."""

    id: str
    message: str
    hint: str

    @property
    def is_error(self) -> bool:
        """Whether `check` fails because of it."""
        return self.id.startswith("qb.E")


async def check_database(settings: Config) -> list[Finding]:
    """Whether the database answers, and has the schema that this code expects."""
    shown = make_url(settings.DATABASE_URL).render_as_string(hide_password=True)
    nothing = Finding(
        EMPTY, f"The database {shown} has no tables yet.", f"Run: {_set_up(settings)}"
    )
    if _is_missing_file(settings):
        return [nothing]  # connecting would make an empty file
    try:
        async with (
            asyncio.timeout(PATIENCE),
            create_engine(settings, for_requests=False).connect() as connection,
        ):
            schema = await Revisions().schema(connection)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        hint = "Is it running, and is DATABASE_URL right?"
        return [Finding("qb.E001", f"The database {shown} cannot be used: {reason(error)}.", hint)]
    if schema is Schema.EMPTY:
        return [nothing]
    if schema is Schema.BEHIND:
        message = f"The database {shown} is behind the code: a migration is pending."
        return [Finding("qb.E003", message, "Run: python manage.py db upgrade")]
    if schema is Schema.INCOMPLETE:
        message = f"The database {shown} is stamped as migrated and lacks tables all the same."
        mend = "restore a backup" if settings.PRODUCTION else "run: python manage.py recreate-db"
        return [Finding("qb.E007", message, f"No migration makes them; {mend}")]
    return []


async def check_roles(settings: Config) -> list[Finding]:
    """Whether there are roles, without which nobody has an account.

    For where `check_database` finds nothing.
    """
    async with create_engine(settings, for_requests=False).connect() as connection:
        if (await connection.execute(select(Role.id).limit(1))).first():
            return []
    return [
        Finding(
            EMPTY, "The database has no roles yet: nobody can log in.", f"Run: {_set_up(settings)}"
        )
    ]


async def check_redis(settings: Config) -> list[Finding]:
    """Whether Redis answers and takes writes."""
    try:
        async with request_redis(settings) as client:
            await client.set("check", b"", ex=60)
    except (RedisError, OSError) as error:
        hint = (
            "It runs while `python manage.py serve` does; or set REDIS_URL."
            if settings.embedded_valkey
            else "Is it running, and is REDIS_URL right?"
        )
        return [
            Finding(
                "qb.E004",
                f"Redis at {shown_redis(settings)} cannot be used: {reason(error)}.",
                hint,
            )
        ]
    return []


async def check_workers(settings: Config) -> list[Finding]:
    """Whether a worker lives."""
    try:
        async with request_redis(settings) as client:
            alive = await any_worker(client)
    except (RedisError, OSError):
        return []  # said by check_redis already
    return (
        []
        if alive
        else [
            Finding("qb.E005", "No worker is alive: jobs wait.", "Run: arq worker.WorkerSettings")
        ]
    )


async def check_jobs(settings: Config) -> list[Finding]:
    """Whether every job that waits is one that this release knows, and none has died."""
    async with AsyncSession(create_engine(settings, for_requests=False)) as session:
        counts = await count_jobs(session)
    found = []
    for (name, state), count in sorted(counts.items()):
        if state == State.DEAD:
            hint = (
                f"Look: python manage.py jobs list --state dead --name {name}; then jobs retry or "
                "discard them."
            )
            found.append(Finding("qb.W003", f"Dead jobs named {name}: {count}.", hint))
        elif name not in KINDS:
            hint = (
                "A worker of the release that has it runs them. Is that this one? Then import it "
                "in app/jobs/known.py."
            )
            found.append(
                Finding(
                    "qb.W004",
                    f"Jobs named {name}, which this release does not know: {count}.",
                    hint,
                )
            )
    return found


def check_routes(app: Quart) -> list[Finding]:
    """Whether every route says who may use it, and how often."""
    found = []
    for rule in app.url_map.iter_rules():
        access, limit = declared(app.view_functions[rule.endpoint])
        if missing := [
            name for name, value in (("access", access), ("limit", limit)) if value is None
        ]:
            message = (
                f"{rule.rule} ({rule.endpoint}) declares no {' and no '.join(missing)}, so it is "
                "refused."
            )
            found.append(
                Finding("qb.E006", message, "Put a decorator of app.web.access on its view.")
            )
    return found


def check_proxies(settings: Config) -> list[Finding]:
    """Whether limits and logs see people's own addresses."""
    if settings.PRODUCTION and settings.secure and settings.TRUSTED_PROXIES == 0:
        message = (
            "BASE_URL is https, so a proxy stands in front, but TRUSTED_PROXIES is 0: everybody "
            "has its address."
        )
        return [Finding("qb.W001", message, "Set TRUSTED_PROXIES to the number of proxies.")]
    return []


def check_mail(settings: Config) -> list[Finding]:
    """Whether mail can leave."""
    if settings.PRODUCTION and not settings.MAIL_SERVER:
        hint = "Set MAIL_SERVER; jobs that mail wait until then."
        return [Finding("qb.W002", "MAIL_SERVER is not set: no mail leaves.", hint)]
    return []


async def all_checks(app: Quart) -> list[Finding]:
    """Everything that can be said without changing anything."""
    settings: Config = app.extensions["settings"]
    database = await check_database(settings)
    found = [
        database or await check_roles(settings),
        await check_redis(settings),
        await check_workers(settings),
        [] if database else await check_jobs(settings),
        check_routes(app),
        check_proxies(settings),
        check_mail(settings),
    ]
    return [finding for findings in found for finding in findings]


def demand(findings: list[Finding]) -> None:
    """Raise `NotReady` with every error among these."""
    errors = [f"{finding.message} {finding.hint}" for finding in findings if finding.is_error]
    if errors:
        raise NotReady("\n".join(errors))


def demand_now(
    check: Callable[[Config], Coroutine[Any, Any, list[Finding]]], settings: Config
) -> None:
    """The same from synchronous code, whether or not an event loop runs already."""
    with ThreadPoolExecutor(1) as thread:
        demand(thread.submit(asyncio.run, check(settings)).result())


def reason(error: BaseException) -> str:
    """The first line of the innermost error, in words that name the cause."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    text = str(error).strip().splitlines()
    # asyncpg's errors arrive as "<class 'asyncpg…'>: the message"
    return text[0].rsplit(">: ", 1)[-1].rstrip(".") if text else type(error).__name__


def shown_redis(settings: Config) -> str:
    """Redis' address without its password."""
    scheme, _, rest = settings.REDIS_URL.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1].partition('?')[0]}"


def _set_up(settings: Config) -> str:
    return f"python manage.py {'setup-prod' if settings.PRODUCTION else 'setup-dev'}"


def _is_missing_file(settings: Config) -> bool:
    return settings.sqlite and not Path(str(make_url(settings.DATABASE_URL).database)).exists()
