"""Bring the database's schema up to date: Alembic, with this application's models and URL."""

import asyncio
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from app.config import Config
from app.database import Base, create_engine
from app.environment import PROJECT_ROOT
from app.errors import NotReady
from app.revisions import MERGE, VERSION_TABLE, Revisions

# Alembic keeps its state in modules, so a process runs one operation at a time. Between processes
# the lock that alembic/env.py takes in the database does the same.
_one_at_a_time = threading.Lock()


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
