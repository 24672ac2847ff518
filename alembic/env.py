"""Run migrations on the application's database, in one process at a time.

A run that fails changes nothing.
"""

import asyncio
from typing import Any

from alembic import context
from alembic.operations import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

import app.features  # noqa: F401  (every table)
from app.autogenerate import PLUGINS, include_ours, order, render_item
from app.config import Config, load_settings
from app.database import Base, create_engine
from app.environment import load_environment
from app.errors import ConfigurationError
from app.patches.alembic_batches import leave_out_computed_columns

leave_out_computed_columns()

# Any number that nothing else uses for an advisory lock in this database.
MIGRATION_LOCK = 0x71756172  # "quar"


def settings() -> Config:
    """Return the settings that manage.py passes, or those of the environment under `alembic`."""
    given = context.config.attributes.get("settings")
    if isinstance(given, Config):
        return given
    try:
        load_environment()
        return load_settings()
    except ConfigurationError as error:
        raise CommandError(error.message) from None


def finish(migration: MigrationContext, revision: Any, directives: list[MigrationScript]) -> None:
    """Refuse to write a migration if models and database do not differ."""
    for operations in (directives[0].upgrade_ops, directives[0].downgrade_ops):
        if operations:
            order(operations)
    compared = context.config.attributes.get("autogenerate") or getattr(
        context.config.cmd_opts, "autogenerate", False
    )
    if compared and directives[0].upgrade_ops and directives[0].upgrade_ops.is_empty():
        raise CommandError(
            "Models and database do not differ: no migration is written. "
            "Is the new feature listed in app/features.py?"
        )


def configure(**options: Any) -> None:
    """Configure Alembic, for both of its modes."""
    context.configure(
        target_metadata=Base.metadata,
        render_item=render_item,
        include_name=include_ours(context.script),
        compare_server_default=True,
        autogenerate_plugins=PLUGINS,
        process_revision_directives=finish,
        **options,
    )


def run(connection: Connection) -> None:
    """Migrate on this connection, which must not be in a transaction."""
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        # A batch rebuild drops the old table. With foreign keys on, that would delete the rows that
        # refer to it.
        _pragma(connection, "foreign_keys = OFF")
    with connection.begin():
        if not sqlite:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK}
            )
        # In batches always, so that a migration written on PostgreSQL runs on SQLite.
        configure(connection=connection, render_as_batch=True, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
        if sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
            raise RuntimeError(
                f"The migration leaves rows that refer to nothing: {broken[:5]}. It was rolled "
                "back."
            )


def _pragma(connection: Connection, statement: str) -> None:
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA {statement}")
    cursor.close()


async def run_online() -> None:
    """Migrate the database, on an engine without the time-outs of requests."""
    engine = create_engine(settings(), for_requests=False).execution_options(sqlite_writes=True)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    configure(url=settings().DATABASE_URL, literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()
else:
    # Under `alembic` this loop is the process's only one; under manage.py another has to end it.
    context.config.attributes.get("run", asyncio.run)(run_online())
