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
from typing import Any

from quart import Quart, current_app

from app.config import Config
from app.database import create_engine
from app.errors import NotReady
from app.health.database import database, models, roles
from app.health.findings import CheckMessage, Outcome, Services, messages, reason
from app.health.proxies import proxies
from app.health.redis import redis
from app.health.routes import routes
from app.health.settings import settings as settings_probe
from app.redis import request_redis
from app.revisions import Revisions

__all__ = [
    "add_probe",
    "check",
    "database",
    "find",
    "models",
    "proxies",
    "raise_errors",
    "ready",
    "redis",
    "require",
    "require_now",
    "roles",
    "routes",
    "standalone",
]

logger = logging.getLogger(__name__)

# Time-outs of a probe in seconds. A service that hangs must not hang /readyz; at start and in
# `check` it may take longer than a request would wait.
PATIENCE = 2.0
PATIENCE_AT_START = 10.0

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
    add_probe(app, models)
    add_probe(app, redis, ready=True)
    add_probe(app, routes)
    add_probe(app, proxies)
    add_probe(app, settings_probe)


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
