"""Defaults of booleans that both databases take."""

from typing import Any

import pytest
from alembic.autogenerate import render_python_code
from alembic.migration import MigrationContext
from alembic.operations import ops
from sqlalchemy import Boolean, Column, Integer, MetaData, Table, create_engine, false, text, true

from app.autogenerate import render_item
from app.booleans import check_booleans


@pytest.mark.parametrize(("default", "instead"), [("0", "false"), ("1", "true"), ("(0)", "false")])
def test_what_postgresql_refuses_is_a_mistake_of_the_model(default: str, instead: str) -> None:
    metadata = MetaData()
    check_booleans(metadata)
    with pytest.raises(ValueError, match=rf"things\.done: .*server_default={instead}\(\)"):
        Table("things", metadata, Column("done", Boolean, server_default=text(default)))


@pytest.mark.parametrize("default", [false(), true(), "0", text("false"), None])
def test_what_both_take_is_none(default: Any) -> None:
    metadata = MetaData()
    check_booleans(metadata)
    done = Column("done", Boolean, server_default=default)
    Table("things", metadata, done, Column("number", Integer, server_default=text("0")))


@pytest.mark.parametrize(
    ("stored", "written"),
    [("0", "sa.false()"), ("1", "sa.true()"), ("'0'", "sa.false()"), ("false", "sa.false()")],
)
def test_a_column_that_is_dropped_comes_back_with_a_default_of_both(
    stored: str, written: str
) -> None:
    """The database tells it in its own words, and that is what `downgrade` adds again."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE TABLE things (done BOOLEAN DEFAULT {stored}, n INTEGER)"))
        found = Table("things", MetaData(), autoload_with=connection).c.done
        added = ops.UpgradeOps([ops.AddColumnOp("things", found)])
        code = render_python_code(
            added, render_item=render_item, migration_context=MigrationContext.configure(connection)
        )
    engine.dispose()
    assert f"server_default={written}" in code
