"""Probes of the database: its connection, its schema, and whether there are roles."""

import asyncio
from pathlib import Path

from sqlalchemy import make_url, select

from app.auth.models import Role
from app.away import AWAY
from app.config import Config
from app.database import Base
from app.enums import native_enums
from app.errors import NotReady
from app.health.findings import CheckMessage, Outcome, Services, State, messages, reason, why_away
from app.health.remedies import of_database
from app.revisions import MERGE, Schema, in_use, own_database

EMPTY = "qb.E002"  # the id of "nothing is there yet", upon which `serve` sets the database up


async def database(services: Services) -> list[Outcome]:
    """Check that the database answers and has the schema that this code expects."""
    outcomes = await _database(services)
    services.database_usable = not messages(outcomes)
    return outcomes


async def _database(services: Services) -> list[Outcome]:
    settings = services.settings
    shown = make_url(settings.DATABASE_URL).render_as_string(hide_password=True)
    schema, taken = Schema.EMPTY, list[str]()
    if not _is_missing_file(settings):  # connecting would create an empty file
        try:
            async with asyncio.timeout(services.patience), services.engine.connect() as connection:
                schema = await services.revisions.schema(connection)
                if schema is Schema.FOREIGN:
                    taken = await services.revisions.taken(connection)
        except (*AWAY, NotReady) as error:
            message = f"The database {shown} cannot be used: {reason(error)}."
            found = CheckMessage("qb.E001", message, of_database(error))
            return [Outcome("database", "down", why_away(error), found)]
    answers = Outcome("database", "ok", "answers")
    state: State = "ok" if schema in (Schema.CURRENT, Schema.AHEAD) else "down"
    if schema is Schema.FOREIGN:
        found = CheckMessage("qb.E041", in_use(taken), own_database(settings))
        return [answers, Outcome("schema", state, schema.value, found)]
    if state == "down" and len(services.revisions.heads) > 1:
        # An upgrade would fail, and to none of them alone the code belongs.
        found = CheckMessage("qb.E040", services.revisions.two_heads(), MERGE)
        return [answers, Outcome("schema", state, schema.value, found)]
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


async def models(services: Services) -> list[Outcome]:
    """Check what will make trouble at the next migration."""
    found = []
    if names := native_enums(Base.metadata):
        message = f"PostgreSQL's own enum types are used for {', '.join(names)}."
        hint = (
            "Migrations cannot change them. Annotate the columns as docs/features.md, Enums, says."
        )
        found.append(CheckMessage("qb.W040", message, hint))
    if services.database_usable and len(services.revisions.heads) > 1:
        found.append(CheckMessage("qb.W041", services.revisions.two_heads(), MERGE))
    return [Outcome("models", "ok", "can be migrated", each) for each in found]


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
