"""The database's schema compared with the code's, and how to bring it up to date."""

import asyncio
import enum
import sys
import threading
from collections.abc import Callable
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


async def upgrade(settings: Config) -> None:
    """Upgrade the schema to the newest migration."""
    await run(settings, command.upgrade, "head")


class Revisions:
    """The migrations that this code has, read once."""

    def __init__(self) -> None:
        script = ScriptDirectory(str(PROJECT_ROOT / "alembic"))
        self.heads = frozenset(script.get_heads())
        self.known = frozenset(revision.revision for revision in script.walk_revisions())

    async def schema(self, connection: AsyncConnection) -> Schema:
        """Compare the schema of a database with these migrations."""
        if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
            tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
            return Schema.BEHIND if set(tables) & set(Base.metadata.tables) else Schema.EMPTY
        current = set(
            (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars()
        )
        if current == self.heads:
            has_tables = await connection.run_sync(has_our_tables)
            return Schema.CURRENT if has_tables else Schema.INCOMPLETE
        return Schema.AHEAD if current - self.known else Schema.BEHIND


def has_our_tables(connection: Connection) -> bool:
    """Tell whether this database has any table of the models.

    One that is missing may be new, and its migration not yet written; if all are, none has run.
    """
    inspector = inspect(connection)
    return any(inspector.has_table(name) for name in Base.metadata.tables)


@dataclass(frozen=True, slots=True)
class Recreated:
    """The tables that `recreate` dropped and created, as found in the database."""

    dropped: list[str]
    created: list[str]


async def recreate(settings: Config) -> Recreated:
    """Drop the models' tables and create them, stamped as the newest migration, in one transaction.

    Import `app.features` first: tables that are not imported are neither dropped nor created.
    """
    script = ScriptDirectory(str(PROJECT_ROOT / "alembic"))
    ours = set(Base.metadata.tables)
    engine = create_engine(settings, for_requests=False).execution_options(sqlite_writes=True)
    async with engine.begin() as connection:
        dropped = ours & set(
            await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        )
        await connection.run_sync(Base.metadata.drop_all)
        await connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).stamp(script, "heads")
        )
        created = ours & set(
            await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        )
    return Recreated(sorted(dropped), sorted(created))
