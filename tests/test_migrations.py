"""Migrations: up, down, drift, and several at once."""

import asyncio
import io
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from alembic.util.exc import CommandError
from sqlalchemy import CheckConstraint, Connection, MetaData, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app import migrations
from app.config import Config, load_settings
from app.database import Base, create_engine
from app.environment import PROJECT_ROOT
from app.errors import NotReady
from app.health.database import database
from app.health.findings import messages
from app.health.probes import standalone
from app.revisions import Revisions, Schema
from tests.conftest import create_database, settings_of_an_empty_database

PARTS = re.compile(
    r",\s(?![^()]*\))|(?<=\w) \(\s|\s\)$"
)  # the commas between a table's parts, and what is around them


@pytest.fixture(params=["sqlite", "postgresql"])
async def settings(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    worker_number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Config:
    """Return settings for an empty database."""
    name = f"test_migrations_{worker_number}"
    return await settings_of_an_empty_database(request.param, name, tmp_path, monkeypatch)


@pytest.fixture
async def engine(settings: Config) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(settings, for_requests=False)
    yield engine
    await engine.dispose()


def drawing(connection: Connection) -> dict[str, object]:
    """Return everything that the database says of its tables, as comparable text."""
    inspector = inspect(connection)
    if connection.dialect.name == "sqlite":
        rows = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        )
        # The order of a table's parts says nothing, nor do the quotes that a rebuild leaves.
        return {
            name: sorted(PARTS.split(" ".join((sql or "").replace(f'"{name}"', name).split())))
            for name, sql in rows
            if "alembic" not in name
        }
    rows = connection.execute(
        text(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = "
            "'public'::regnamespace "
            "UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
            "UNION ALL SELECT table_name || '.' || column_name, concat_ws(' ', data_type, "
            "character_maximum_length, "
            "is_nullable, column_default) FROM information_schema.columns WHERE table_schema = "
            "'public'"
        )
    )
    assert inspector.get_table_names()
    return {
        name: definition
        for name, definition in rows
        if "alembic_version" not in f"{name} {definition}"
    }


async def schema(engine: AsyncEngine) -> Schema:
    async with engine.connect() as connection:
        return await Revisions().schema(connection)


async def test_up_and_down_leave_nothing(settings: Config, engine: AsyncEngine) -> None:
    assert await schema(engine) is Schema.EMPTY
    await migrations.upgrade(settings)
    assert await schema(engine) is Schema.CURRENT
    await migrations.run(settings, command.downgrade, "base")
    async with engine.connect() as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(tables) <= {"alembic_version"}
    await migrations.upgrade(settings)
    assert await schema(engine) is Schema.CURRENT


async def test_models_and_migrations_draw_the_same(settings: Config, engine: AsyncEngine) -> None:
    """Compare their text: `alembic check` ignores CHECK constraints and predicates of indexes."""
    await migrations.upgrade(settings)
    async with engine.execution_options(sqlite_writes=True).begin() as connection:
        migrated = await connection.run_sync(drawing)
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
        modelled = await connection.run_sync(drawing)
    assert migrated == modelled


async def test_check_passes_now_and_fails_on_drift(settings: Config, engine: AsyncEngine) -> None:
    await migrations.upgrade(settings)
    await migrations.run(settings, command.check)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE users ADD COLUMN surprise VARCHAR(9)"))
    with pytest.raises(CommandError, match="surprise"):
        await migrations.run(settings, command.check)


async def test_a_failed_migration_leaves_nothing(
    settings: Config, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic.operations import Operations

    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("as planned")

    monkeypatch.setattr(Operations, "create_index", fail)
    with pytest.raises(RuntimeError, match="as planned"):
        await migrations.upgrade(settings)
    assert await schema(engine) is Schema.EMPTY


@pytest.mark.faults
@pytest.mark.waits
async def test_upgrades_at_once_follow_one_another(settings: Config, engine: AsyncEngine) -> None:
    """Upgrade several times at once, in one process and in several."""
    manage = [sys.executable, "manage.py", "-c", "testing", "db", "upgrade"]
    processes = [
        subprocess.Popen(manage, cwd=PROJECT_ROOT, stderr=subprocess.PIPE) for _ in range(3)
    ]
    await asyncio.gather(*(migrations.upgrade(settings) for _ in range(3)))
    for process in processes:
        _, errors = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0, errors
    assert await schema(engine) is Schema.CURRENT


async def test_recreating_says_what_it_destroys_and_leaves_what_check_accepts(
    settings: Config, engine: AsyncEngine
) -> None:
    assert (await migrations.recreate(settings)).dropped == []
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO roles (name, \"index\", permissions) VALUES ('a', 'b', 1)")
        )
    tables = sorted(Base.metadata.tables)
    assert await migrations.recreate(settings) == migrations.Recreated(
        dropped=tables, created=tables
    )
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM roles"))).scalar() == 0
    assert await schema(engine) is Schema.CURRENT
    await migrations.upgrade(settings)
    await migrations.run(settings, command.check)


async def test_a_schema_of_a_newer_release_is_ahead_and_one_of_an_older_is_behind(
    settings: Config, engine: AsyncEngine
) -> None:
    await migrations.upgrade(settings)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'from_tomorrow'"))
    assert await schema(engine) is Schema.AHEAD
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM alembic_version"))
    assert await schema(engine) is Schema.BEHIND


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.execution_options(sqlite_writes=True).begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def tables(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_tables_of_others_are_neither_compared_nor_touched(
    settings: Config, engine: AsyncEngine
) -> None:
    """Beside PostGIS' table and another application's, with an index."""
    await execute(
        engine,
        "CREATE TABLE spatial_ref_sys (srid integer PRIMARY KEY)",
        "CREATE TABLE orders (id integer PRIMARY KEY, number integer)",
        "CREATE INDEX ix_orders_number ON orders (number)",
    )
    assert await schema(engine) is Schema.EMPTY
    await migrations.upgrade(settings)
    await migrations.run(settings, command.check)
    await migrations.recreate(settings)
    await migrations.run(settings, command.check)
    assert await schema(engine) is Schema.CURRENT
    await migrations.run(settings, command.downgrade, "base")
    assert await tables(engine) == {"spatial_ref_sys", "orders", "alembic_version"}


async def test_indexes_that_others_add_to_our_tables_are_left_alone(
    settings: Config, engine: AsyncEngine
) -> None:
    await migrations.upgrade(settings)
    await execute(
        engine,
        "CREATE INDEX by_age ON users (disabled_at)",
        "CREATE INDEX ix_users_email ON users (email)",
    )
    await migrations.run(settings, command.check)
    await execute(engine, "DROP INDEX ix_users_name")
    with pytest.raises(CommandError, match=r"add_index.*ix_users_name"):
        await migrations.run(settings, command.check)


async def test_an_index_that_has_left_its_model_is_still_dropped(
    settings: Config, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrations.upgrade(settings)
    without = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.sorted_tables:
        table.to_metadata(without)
    users = without.tables["users"]
    users.indexes -= {index for index in users.indexes if index.name == "ix_users_name"}
    monkeypatch.setattr(Base, "metadata", without)
    with pytest.raises(CommandError, match=r"remove_index.*ix_users_name"):
        await migrations.run(settings, command.check)


async def test_a_table_whose_model_was_deleted_is_still_dropped(
    settings: Config, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrations.upgrade(settings)
    without = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.sorted_tables:
        if table.name != "schedules":
            table.to_metadata(without)
    monkeypatch.setattr(Base, "metadata", without)
    with pytest.raises(CommandError, match=r"remove_table.*schedules"):
        await migrations.run(settings, command.check)


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["CREATE TABLE users (id integer)"], "users"),
        (
            [
                "CREATE TABLE alembic_version (version_num varchar(32))",
                "INSERT INTO alembic_version VALUES ('theirs')",
            ],
            "alembic_version",
        ),
        (
            [
                "CREATE TABLE users (id integer)",
                "CREATE TABLE roles (id integer)",
                "CREATE TABLE alembic_version (version_num varchar(32))",
                "INSERT INTO alembic_version VALUES ('theirs')",
            ],
            "alembic_version, roles, users",
        ),
    ],
    ids=["users", "alembic_version", "flask-base"],
)
async def test_another_applications_database_is_recognised_and_left_alone(
    settings: Config, engine: AsyncEngine, statements: list[str], named: str
) -> None:
    await execute(engine, *statements)
    before = await tables(engine)
    assert await schema(engine) is Schema.FOREIGN
    for act in (migrations.upgrade, migrations.recreate):
        with pytest.raises(NotReady, match=f"Another application.*: {named}. Name a database"):
            await act(settings)
    async with standalone(settings) as services:
        (found,) = messages(await database(services))
    assert (found.id, named in found.message) == ("qb.E041", True)
    assert "DATABASE_URL" in found.hint
    assert await tables(engine) == before


async def test_a_schema_of_ones_own_is_the_way_out(
    worker_number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await create_database(f"test_migrations_{worker_number}")
    monkeypatch.setenv("TEST_DATABASE_URL", url)
    others = create_engine(load_settings("testing"), for_requests=False)
    await execute(others, "CREATE TABLE users (id integer)", "CREATE SCHEMA ours")
    monkeypatch.setenv("TEST_DATABASE_URL", f"{url}&options=-csearch_path%3Dours")
    own = load_settings("testing")
    await migrations.upgrade(own)
    await migrations.run(own, command.check)
    await migrations.recreate(own)
    assert await schema(create_engine(own, for_requests=False)) is Schema.CURRENT
    assert await tables(others) == {"users"}


async def test_a_changed_list_of_values_is_drift(settings: Config, engine: AsyncEngine) -> None:
    """The values of an enum stand in a CHECK constraint, whose text Alembic does not compare."""
    await migrations.upgrade(settings)
    (constraint,) = (
        c for c in Base.metadata.tables["jobs"].constraints if c.name == "ck_jobs_state"
    )
    assert isinstance(constraint, CheckConstraint)
    before = constraint.sqltext
    try:
        constraint.sqltext = text(str(before).replace("'done'", "'done', 'new'"))
        with pytest.raises(CommandError, match="ck_jobs_state"):
            await migrations.run(settings, command.check)
    finally:
        constraint.sqltext = before
    await migrations.run(settings, command.check)


async def test_children_survive_a_rebuild_of_their_parents_table(
    settings: Config, engine: AsyncEngine, tmp_path: Path
) -> None:
    """Rebuild a table, as changing a column of SQLite does.

    With foreign keys on, that would delete the rows that refer to it.
    """
    if not settings.sqlite:
        pytest.skip("PostgreSQL changes tables in place")
    await migrations.upgrade(settings)
    async with engine.execution_options(sqlite_writes=True).begin() as connection:
        await connection.execute(
            text("INSERT INTO roles (id, name, \"index\", permissions) VALUES (1, 'a', 'b', 1)")
        )
        await connection.execute(
            text(
                "INSERT INTO users (id, email, first_name, last_name, created_at, role_id) "
                "VALUES (1, 'a@b', 'a', 'b', 0, 1)"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO credentials (id, purpose, digest, user_id, created_at, last_used_at, "
                "expires_at) "
                "VALUES ('x', 'session', 'd', 1, 0, 0, 0)"
            )
        )
    scripts = tmp_path / "alembic"
    for name in ("env.py", "script.py.mako", "versions"):
        source = Path("alembic").absolute() / name
        (scripts / name).parent.mkdir(exist_ok=True)
        if source.is_dir():
            (scripts / name).mkdir()
            for path in source.glob("*.py"):
                (scripts / name / path.name).write_text(path.read_text())
        else:
            (scripts / name).write_text(source.read_text())
    head = next(iter(Revisions().heads))
    (scripts / "versions" / "rebuild.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = 'rebuild'\ndown_revision = '{head}'\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('users') as users:\n"
        "        users.alter_column('first_name', type_=sa.String(80), existing_nullable=False)\n"
    )
    configuration = migrations.alembic_config(settings, io.StringIO())
    configuration.set_main_option("script_location", str(scripts))
    await asyncio.to_thread(command.upgrade, configuration, "head")
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM credentials"))).scalar() == 1


@pytest.mark.faults
@pytest.mark.waits
def test_the_plain_alembic_command_works(tmp_path: Path) -> None:
    variables = {
        **os.environ,
        "QUART_CONFIG": "testing",
        "TEST_DATABASE_URL": f"sqlite:///{tmp_path / 'test.sqlite3'}",
    }
    for arguments in (["upgrade", "head"], ["check"], ["current"]):
        process = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=PROJECT_ROOT,
            env=variables,
            check=False,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
    assert "(head)" in process.stdout
