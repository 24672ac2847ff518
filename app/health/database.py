"""Probes of the database: its connection, its schema, and whether there are roles."""

import asyncio
from pathlib import Path

from sqlalchemy import make_url, select

from app.auth.models import Role
from app.away import AWAY
from app.config import Config
from app.errors import NotReady
from app.health.findings import CheckMessage, Outcome, Services, State, messages, reason, why_away
from app.migrations import Schema

EMPTY = "qb.E002"  # the id of "nothing is there yet", upon which `serve` sets the database up


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
            return [Outcome("database", "down", why_away(error), found)]
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


def _set_up(settings: Config) -> str:
    return f"Run: python manage.py {'setup-prod' if settings.PRODUCTION else 'setup-dev'}"


def _is_missing_file(settings: Config) -> bool:
    return settings.sqlite and not Path(str(make_url(settings.DATABASE_URL).database)).exists()
