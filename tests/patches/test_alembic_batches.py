"""Without the patch a table with a computed column cannot be altered on SQLite."""

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.batch import ApplyBatchImpl
from sqlalchemy import NullPool, String, create_engine, text
from sqlalchemy.exc import OperationalError

from app.patches import alembic_batches


def alter() -> list[tuple[str, str]]:
    engine = create_engine("sqlite://", poolclass=NullPool)
    with engine.begin() as connection:
        columns = "name TEXT, loud TEXT GENERATED ALWAYS AS (name || '!') STORED"
        connection.execute(text(f"CREATE TABLE words ({columns})"))
        connection.execute(text("INSERT INTO words (name) VALUES ('hello')"))
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("words") as batch:
            batch.alter_column("name", type_=String(10))
        return [(row.name, row.loud) for row in connection.execute(text("SELECT * FROM words"))]


def test_alembic_still_copies_computed_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApplyBatchImpl, "_grab_table_elements", alembic_batches._plain)
    with pytest.raises(OperationalError, match="cannot INSERT into generated column"):
        alter()


def test_patched_it_leaves_them_to_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    patched = alembic_batches._without_computed
    monkeypatch.setattr(ApplyBatchImpl, "_grab_table_elements", patched)
    assert alter() == [("hello", "hello!")]
