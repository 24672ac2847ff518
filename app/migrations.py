"""The database's schema compared with the code's, and how to bring it up to date."""

import asyncio
import enum
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Config
from app.database import Base, create_engine
from app.environment import PROJECT_ROOT
from app.errors import NotReady

VERSION_TABLE = "alembic_version"

MERGE = "Run: python manage.py db merge heads -m 'Merge migrations', then db upgrade"

# Alembic keeps its state in modules, so a process runs one operation at a time. Between processes
# the lock that alembic/env.py takes in the database does the same.
_one_at_a_time = threading.Lock()


class Schema(enum.Enum):
    """The state of the database's schema, compared with the code's."""

    EMPTY = "has no tables yet"
    BEHIND = "is behind the code"
    INCOMPLETE = "lacks the tables of its revision"  # stamped without having been migrated
    CURRENT = "is current"
    AHEAD = "is ahead of the code"  # migrated by a newer release; this one can still serve
    FOREIGN = "belongs to another application"


def alembic_config(settings: Config) -> AlembicConfig:
    """Return Alembic's configuration for this application's database."""
    configuration = AlembicConfig(PROJECT_ROOT / "alembic.ini", stdout=sys.stdout)
    # The path as a value of an ini file, where "%" has a meaning.
    location = str(PROJECT_ROOT / "alembic").replace("%", "%%")
    configuration.set_main_option("script_location", location)
    configuration.attributes["settings"] = settings
    return configuration


async def run(settings: Config, operation: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Run one of Alembic's commands in a thread, since it runs an event loop of its own."""

    def alone() -> Any:
        configuration = alembic_config(settings)
        configuration.attributes["autogenerate"] = options.get("autogenerate", False)
        with _one_at_a_time:
            return operation(configuration, *args, **options)

    return await asyncio.to_thread(alone)


async def upgrade(settings: Config, revision: str = "head") -> None:
    """Upgrade the schema, to the newest migration or to the one that is given.

    Raises `NotReady` if there are several newest ones, or if the database is another application's.
    """
    revisions = Revisions()
    if revision == "head" and len(revisions.heads) > 1:
        raise NotReady(f"{revisions.two_heads()} {MERGE}")
    engine = create_engine(settings, for_requests=False)
    async with engine.connect() as connection:
        await revisions.require_own(connection, settings)
    await run(settings, command.upgrade, revision)


class Revisions:
    """The migrations that this code has, read once."""

    def __init__(self) -> None:
        script = ScriptDirectory(str(PROJECT_ROOT / "alembic"))
        self.heads = frozenset(script.get_heads())
        self.known = frozenset(revision.revision for revision in script.walk_revisions())

    def two_heads(self) -> str:
        """Return words that say between which migrations there is no order."""
        return f"{len(self.heads)} migrations are the newest: {', '.join(sorted(self.heads))}."

    async def schema(self, connection: AsyncConnection) -> Schema:
        """Compare the schema of a database with these migrations."""
        tables, current = await connection.run_sync(_tables_and_revisions)
        if self._taken(tables, current):
            return Schema.FOREIGN
        if current is None:
            return Schema.BEHIND if tables else Schema.EMPTY
        if current == self.heads:
            return Schema.CURRENT if tables else Schema.INCOMPLETE
        return Schema.AHEAD if current - self.known else Schema.BEHIND

    async def taken(self, connection: AsyncConnection) -> list[str]:
        """Return the names of tables that another application has and this one needs."""
        return self._taken(*await connection.run_sync(_tables_and_revisions))

    def _taken(self, tables: set[str], current: set[str] | None) -> list[str]:
        # A database is this application's own if it was stamped with a migration that is known, or
        # if it has most of the tables: a newer release may have stamped it.
        if (current or set()) & self.known or 2 * len(tables) > len(Base.metadata.tables):
            return []
        return sorted(tables | ({VERSION_TABLE} if current else set()))

    async def require_own(self, connection: AsyncConnection, settings: Config) -> None:
        """Raise `NotReady` if the database is another application's."""
        if names := await self.taken(connection):
            raise NotReady(f"{in_use(names)} {own_database(settings)}")


def _tables_and_revisions(connection: Connection) -> tuple[set[str], set[str] | None]:
    """Return the tables that have names of ours, and how the database is stamped, if at all."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names()) & set(Base.metadata.tables)
    if not inspector.has_table(VERSION_TABLE):
        return tables, None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return tables, set(found.scalars())


def in_use(names: Sequence[str]) -> str:
    """Return words for tables that another application has under names of ours."""
    return (
        "Another application has its tables in this database, under names that this one needs: "
        f"{', '.join(names)}."
    )


def own_database(settings: Config) -> str:
    """Return what to do about them."""
    schema = "" if settings.sqlite else ", or a schema: add ?options=-csearch_path%3DNAME to it"
    return f"Name a database of its own in DATABASE_URL{schema}."


@dataclass(frozen=True, slots=True)
class Recreated:
    """The tables that `recreate` dropped and created, as found in the database."""

    dropped: list[str]
    created: list[str]


async def recreate(settings: Config) -> Recreated:
    """Drop the models' tables and create them, stamped as the newest migration, in one transaction.

    Import `app.features` first: tables that are not imported are neither dropped nor created.
    Raises `NotReady`, before anything is dropped, if the tables are another application's.
    """
    script = ScriptDirectory(str(PROJECT_ROOT / "alembic"))
    ours = set(Base.metadata.tables)
    engine = create_engine(settings, for_requests=False).execution_options(sqlite_writes=True)
    async with engine.begin() as connection:
        await Revisions().require_own(connection, settings)
        dropped = ours & set(
            await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        )
        await connection.run_sync(Base.metadata.drop_all)
        await connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).stamp(script, "heads")
        )
        created = ours & set(
            await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        )
    return Recreated(sorted(dropped), sorted(created))
