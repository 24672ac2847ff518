"""Bring the database's schema up to date: Alembic, with this application's models and URL."""

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO

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


def alembic_config(settings: Config, output: TextIO) -> AlembicConfig:
    """Return Alembic's configuration for this application's database."""
    configuration = AlembicConfig(PROJECT_ROOT / "alembic.ini", stdout=output)
    # The path as a value of an ini file, where "%" has a meaning.
    location = str(PROJECT_ROOT / "alembic").replace("%", "%%")
    configuration.set_main_option("script_location", location)
    configuration.attributes["settings"] = settings
    return configuration


class Cancellable:
    """An event loop in another thread, which this one can end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._cancel: Callable[[], object] | None = None

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as `asyncio.run` does. alembic/env.py calls this, in Alembic's thread."""

        async def inside() -> None:
            loop, task = asyncio.get_running_loop(), asyncio.create_task(coroutine)
            with self._lock:
                self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
                if self._cancelled:
                    task.cancel()
            await task

        asyncio.run(inside())

    def cancel(self) -> None:
        """Cancel the coroutine, as soon as it runs."""
        with self._lock:
            self._cancelled = True
            if self._cancel:
                with suppress(RuntimeError):  # it has just ended
                    self._cancel()


async def run(settings: Config, operation: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Run one of Alembic's commands in a thread, since it runs an event loop of its own.

    When this is cancelled, the database rolls back what the command has done.
    """
    inside = Cancellable()

    def alone() -> Any:
        # Alembic passes over errors of what it writes to: a full disk would go unnoticed.
        output = io.StringIO()
        configuration = alembic_config(settings, output)
        configuration.attributes["autogenerate"] = options.get("autogenerate", False)
        configuration.attributes["run"] = inside.run
        with _one_at_a_time:
            result = operation(configuration, *args, **options)
        sys.stdout.write(output.getvalue())
        return result

    try:
        return await asyncio.to_thread(alone)
    except asyncio.CancelledError:
        inside.cancel()
        raise


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
