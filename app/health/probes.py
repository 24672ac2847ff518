"""The one list of probes, run by /readyz, by `manage.py check` and by the dashboard.

A probe looks at one part of the installation and returns an outcome for each thing it has looked
at. Features add their own with `add_probe`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quart import Quart, current_app
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from sqlalchemy import make_url, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.auth.models import Role
from app.away import AWAY
from app.config import Config
from app.database import create_engine
from app.errors import NotReady
from app.migrations import Revisions, Schema
from app.redis import request_redis
from app.web.access import declared

logger = logging.getLogger(__name__)

EMPTY = "qb.E002"  # the id of "nothing is there yet", upon which `serve` sets the database up

# Time-outs of a probe in seconds. A service that hangs must not hang /readyz; at start and in
# `check` it may take longer than a request would wait.
PATIENCE = 2.0
PATIENCE_AT_START = 10.0

State = Literal["ok", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class CheckMessage:
    """A finding of `check`: what is wrong, and a hint how to put it right.

    Ids that begin with qb.E are errors, those that begin with qb.W are warnings.
    """

    id: str
    message: str
    hint: str

    @property
    def is_error(self) -> bool:
        """Whether this makes `check` fail."""
        return self.id.startswith("qb.E")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state of a component.

    Requests fail while a component is `down`, and do without it while it is `degraded`. `detail` is
    public, so it must name no host; `check` is for operators.
    """

    component: str
    state: State
    detail: str
    check: CheckMessage | None = None


@dataclass(slots=True)
class Services:
    """The services that probes look at. `app` is None where there is no application yet.

    `patience` is a probe's time-out in seconds. `database_usable` is set by the probe of the
    database, so that those that come after it need not find out again.
    """

    settings: Config
    engine: AsyncEngine
    redis: Redis
    revisions: Revisions
    patience: float
    app: Quart | None = None
    database_usable: bool = False


Look = Callable[[Services], Awaitable[list[Outcome]]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe, and whether /readyz and the dashboard run it too."""

    look: Look
    ready: bool


def add_probe(app: Quart, look: Look, *, ready: bool = False) -> None:
    """Add a probe to `check`, and with `ready` to /readyz and the dashboard too.

    A feature calls this from its `init_app`.
    """
    app.extensions["probes"].append(Probe(look, ready))


def init_app(app: Quart) -> None:
    """Start with the probes that every installation needs."""
    app.extensions["revisions"] = Revisions()
    app.extensions["probes"] = []
    add_probe(app, database, ready=True)
    add_probe(app, roles)
    add_probe(app, redis, ready=True)
    add_probe(app, routes)
    add_probe(app, proxies)
    add_probe(app, mail)


async def ready() -> list[Outcome]:
    """Run the probes of /readyz concurrently, on the application's own connection pools."""
    app = current_app
    services = Services(
        app.extensions["settings"],
        app.extensions["database"].engine,
        app.extensions["redis"],
        app.extensions["revisions"],
        PATIENCE,
        app,
    )
    probes = [_ask(probe, services) for probe in app.extensions["probes"] if probe.ready]
    return [outcome for outcomes in await asyncio.gather(*probes) for outcome in outcomes]


async def _ask(probe: Probe, services: Services) -> list[Outcome]:
    """Run one probe: one that hangs or raises takes no other down with it."""
    name = probe.look.__name__
    try:
        # A probe has a time-out of its own; this one is for those that forgot it.
        async with asyncio.timeout(services.patience + 1):
            return await probe.look(services)
    except Exception as error:
        logger.exception("The probe %s failed", name)
        message = f"The probe {name} failed: {reason(error)}."
        found = CheckMessage("qb.E008", message, "See the log.")
        return [Outcome(name, "degraded", "could not be looked at", found)]


async def check(app: Quart) -> list[CheckMessage]:
    """Run every probe and return the findings. Changes nothing."""
    found = []
    async with standalone(app.extensions["settings"], app) as services:
        for probe in app.extensions["probes"]:
            found += messages(await _ask(probe, services))
    return found


def messages(outcomes: Sequence[Outcome]) -> list[CheckMessage]:
    """Return the findings among these outcomes."""
    return [outcome.check for outcome in outcomes if outcome.check]


@asynccontextmanager
async def standalone(settings: Config, app: Quart | None = None) -> AsyncIterator[Services]:
    """Connect to the services of a configuration, without the pools of an application."""
    engine = create_engine(settings, for_requests=False)
    async with request_redis(settings) as client:
        yield Services(settings, engine, client, Revisions(), PATIENCE_AT_START, app)


async def find(settings: Config, *looks: Look) -> list[CheckMessage]:
    """Run probes in order, and return the findings of the first one that has any."""
    async with standalone(settings) as services:
        for look in looks:
            if found := messages(await look(services)):
                return found
    return []


async def require(settings: Config, *looks: Look) -> None:
    """Run probes in order; raise `NotReady` with the errors of the first that has findings."""
    raise_errors(await find(settings, *looks))


def raise_errors(found: Sequence[CheckMessage]) -> None:
    """Raise `NotReady` with the errors among these findings, if there are any."""
    errors = [f"{message.message} {message.hint}" for message in found if message.is_error]
    if errors:
        raise NotReady("\n".join(errors))


def require_now(settings: Config, *looks: Look) -> None:
    """Call `require` from synchronous code, whether or not an event loop is running."""
    coroutine: Coroutine[Any, Any, None] = require(settings, *looks)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, coroutine).result()


async def database(services: Services) -> list[Outcome]:
    """Check that the database answers and has the schema that this code expects."""
    outcomes = await _database(services)
    services.database_usable = not messages(outcomes)
    return outcomes


async def _database(services: Services) -> list[Outcome]:
    settings = services.settings
    shown = make_url(settings.DATABASE_URL).render_as_string(hide_password=True)
    schema = Schema.EMPTY
    if not _is_missing_file(settings):  # connecting would create an empty file
        try:
            async with asyncio.timeout(services.patience), services.engine.connect() as connection:
                schema = await services.revisions.schema(connection)
        except (*AWAY, NotReady) as error:
            message = f"The database {shown} cannot be used: {reason(error)}."
            hint = "Is it running, and is DATABASE_URL right?"
            found = CheckMessage("qb.E001", message, hint)
            return [Outcome("database", "down", _why_away(error), found)]
    answers = Outcome("database", "ok", "answers")
    state: State = "ok" if schema in (Schema.CURRENT, Schema.AHEAD) else "down"
    found_schema = _about_schema(schema, shown, settings)
    return [answers, Outcome("schema", state, schema.value, found_schema)]


def _about_schema(schema: Schema, shown: str, settings: Config) -> CheckMessage | None:
    if schema is Schema.EMPTY:
        return CheckMessage(EMPTY, f"The database {shown} has no tables yet.", _set_up(settings))
    if schema is Schema.BEHIND:
        message = f"The database {shown} is behind the code: a migration is pending."
        return CheckMessage("qb.E003", message, "Run: python manage.py db upgrade")
    if schema is Schema.INCOMPLETE:
        message = f"The database {shown} is stamped as migrated, but has no tables."
        remedy = "restore a backup." if settings.PRODUCTION else "run: python manage.py recreate-db"
        return CheckMessage("qb.E007", message, f"No migration will create them; {remedy}")
    return None


async def roles(services: Services) -> list[Outcome]:
    """Check that there are roles, without which nobody can have an account."""
    if not services.database_usable:
        return []  # the probe of the database, which comes first, says so
    async with asyncio.timeout(services.patience), services.engine.connect() as connection:
        if (await connection.execute(select(Role.id).limit(1))).first():
            return []
    message = "The database has no roles yet: nobody can log in."
    found = CheckMessage(EMPTY, message, _set_up(services.settings))
    return [Outcome("roles", "down", "there are none", found)]


async def redis(services: Services) -> list[Outcome]:
    """Check that Redis answers and accepts writes, which a ping would not show."""
    try:
        async with asyncio.timeout(services.patience):
            await services.redis.set("probe", b"", ex=60)
    except AWAY as error:
        shown = shown_redis(services.settings)
        hint = (
            "It runs while `python manage.py serve` does; or set REDIS_URL."
            if services.settings.embedded_valkey
            else "Is it running, and is REDIS_URL right?"
        )
        message = f"Redis at {shown} cannot be used: {reason(error)}."
        return [
            Outcome("redis", "degraded", _why_away(error), CheckMessage("qb.E004", message, hint))
        ]
    return [Outcome("redis", "ok", "answers")]


async def routes(services: Services) -> list[Outcome]:
    """Check that every route declares its access and its rate limit."""
    found = []
    if (app := services.app) is None:
        return []
    for rule in app.url_map.iter_rules():
        access, limit = declared(app.view_functions[rule.endpoint])
        missing = [name for name, value in (("access", access), ("limit", limit)) if value is None]
        if missing:
            message = (
                f"{rule.rule} ({rule.endpoint}) declares no {' and no '.join(missing)}, so it is "
                "refused."
            )
            hint = "Put a decorator of app.web.access on its view."
            found.append(
                Outcome(
                    "routes", "degraded", "one is closed", CheckMessage("qb.E006", message, hint)
                )
            )
    return found


async def proxies(services: Services) -> list[Outcome]:
    """Check that rate limits and logs see the clients' own ips."""
    settings = services.settings
    if not settings.PRODUCTION or not settings.secure or settings.TRUSTED_PROXIES:
        return []
    message = (
        "BASE_URL is https, so there is a proxy in front, but TRUSTED_PROXIES is 0: all clients "
        "appear to have its ip."
    )
    found = CheckMessage("qb.W001", message, "Set TRUSTED_PROXIES to the number of proxies.")
    return [Outcome("proxies", "degraded", "are not trusted", found)]


async def mail(services: Services) -> list[Outcome]:
    """Check that mail can be sent."""
    if not services.settings.PRODUCTION or services.settings.MAIL_SERVER:
        return []
    message = "MAIL_SERVER is not set: no mail is sent."
    found = CheckMessage("qb.W002", message, "Set MAIL_SERVER; jobs that mail wait until then.")
    return [Outcome("mail", "degraded", "is not sent", found)]


def reason(error: BaseException) -> str:
    """Return the first line of the innermost error, which names the cause."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    text = str(error).strip().splitlines()
    # asyncpg's errors arrive as "<class 'asyncpg…'>: the message"
    return text[0].rsplit(">: ", 1)[-1].rstrip(".") if text else type(error).__name__


def shown_redis(settings: Config) -> str:
    """Return the url of Redis without its password."""
    scheme, _, rest = settings.REDIS_URL.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1].partition('?')[0]}"


def _why_away(error: BaseException) -> str:
    """Return why a service is away, in words for the public that name no host."""
    if isinstance(error, OutOfMemoryError):
        return "is out of memory"
    if isinstance(error, ReadOnlyError):
        return "is read-only"
    return "does not answer in time" if isinstance(error, TimeoutError) else "does not answer"


def _set_up(settings: Config) -> str:
    return f"Run: python manage.py {'setup-prod' if settings.PRODUCTION else 'setup-dev'}"


def _is_missing_file(settings: Config) -> bool:
    return settings.sqlite and not Path(str(make_url(settings.DATABASE_URL).database)).exists()
