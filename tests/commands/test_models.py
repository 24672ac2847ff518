"""What a team does to its models, with the commands of a clean clone, on both databases."""

from itertools import pairwise

import pytest

from tests.clones import Clone

pytestmark = [pytest.mark.faults, pytest.mark.waits]

ENUM = """
import enum

from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base


class Mood(enum.Enum):
    GOOD = "good"
    SO_SO = "so-so, isn't it"


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    mood: Mapped[Mood]
"""
COLUMN = """
    second: Mapped[Mood | None]
    order: Mapped[Mood | None]
"""
NATIVE = """
    third: Mapped[Mood] = mapped_column(sqlalchemy.Enum(Mood))
"""
CHAIN = """
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
"""
LINK = """

class {0}(Base):
    __tablename__ = "{1}"
    id: Mapped[int] = mapped_column(primary_key=True)
    own_id: Mapped[int | None] = mapped_column(ForeignKey("{1}.id"), index=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("{2}.id"), index=True)
"""
INSERT = "INSERT INTO notes (id, mood) VALUES ({}, '{}')"
HEADS = '''"""A second head.

Revision: {0}, after d21f9a6d7577
"""

revision = "{0}"
down_revision = "d21f9a6d7577"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
'''


def write(clone: Clone, models: str) -> None:
    (clone.folder / "app" / "site" / "models.py").write_text(f'"""Notes."""\n{models}')


def add_models(clone: Clone) -> None:
    write(clone, "")
    features = clone.folder / "app" / "features.py"
    features.write_text(f"{features.read_text()}\nimport app.site.models  # noqa: E402, F401\n")


def migrate(clone: Clone, name: str) -> str:
    """Write a migration, apply it, revert it and apply it again; return its text."""
    before = set((clone.folder / "alembic" / "versions").glob("*.py"))
    clone.does("db", "migrate", "-m", name)
    (script,) = set((clone.folder / "alembic" / "versions").glob("*.py")) - before
    for command in ("upgrade", "downgrade", "upgrade", "check"):
        clone.does("db", command)
    return script.read_text()


async def test_an_enum_is_created_and_changed(clone: Clone) -> None:
    add_models(clone)
    clone.does("db", "upgrade")
    write(clone, ENUM)
    migrate(clone, "notes")
    await clone.query(INSERT.format(1, "so-so, isn''t it"))
    with pytest.raises(Exception, match=r"(?i)ck_notes_mood"):
        await clone.query(INSERT.format(2, "awful"))

    write(clone, ENUM + COLUMN)
    migrate(clone, "a column of an enum on a table that exists")
    await clone.query("""UPDATE notes SET second = 'good', "order" = 'good'""")

    write(clone, (ENUM + COLUMN).replace("isn't it\"", 'isn\'t it"\n    AWFUL = "awful"'))
    assert "ck_notes_mood" in clone.refuses("db", "check")
    script = migrate(clone, "a new value")
    assert "spatial" not in script
    await clone.query(INSERT.format(2, "awful"))
    assert "ck_notes_mood" in clone.refuses("db", "downgrade"), "a row has the new value"
    with pytest.raises(Exception, match=r"(?i)ck_notes_mood"):
        await clone.query(INSERT.format(3, "worse"))


async def test_columns_and_tables_of_an_enum_are_removed(clone: Clone) -> None:
    add_models(clone)
    write(clone, ENUM + COLUMN)
    clone.does("db", "upgrade")
    clone.does("db", "migrate", "-m", "notes")
    clone.does("db", "upgrade")
    write(clone, ENUM.replace("    mood: Mapped[Mood]\n", ""))
    migrate(clone, "no columns of it")
    write(clone, "")
    assert 'op.drop_table("notes")' in migrate(clone, "no table")
    clone.does("lint", "migrations")


async def test_tables_are_removed_before_those_that_they_refer_to(clone: Clone) -> None:
    names = ["roles", "papers", "benches", "chairs", "doors", "attics"]
    links = (LINK.format(name.title(), name, parent) for parent, name in pairwise(names))
    add_models(clone)
    clone.does("db", "upgrade")
    write(clone, CHAIN + "".join(links))
    migrate(clone, "a chain of tables")
    write(clone, "")
    written = migrate(clone, "no chain of tables")
    assert [written.index(f'op.drop_table("{name}")') for name in names[:0:-1]] == sorted(
        written.index(f'op.drop_table("{name}")') for name in names[1:]
    )


async def test_postgresqls_own_enum_types_are_refused_and_warned_of(clone: Clone) -> None:
    add_models(clone)
    clone.does("db", "upgrade")
    write(clone, "import sqlalchemy\n" + ENUM + NATIVE)
    assert "Mapped[State]" in clone.refuses("db", "migrate", "-m", "notes")
    words = clone.run("check").stderr
    assert "qb.W040" in words
    assert "notes.third" in words


async def test_two_heads_are_named_with_the_way_out(clone: Clone) -> None:
    (clone.folder / "alembic" / "versions" / "second.py").write_text(HEADS.format("second"))
    merge = "python manage.py db merge heads -m"
    for command in (
        ["check"],
        ["setup-dev"],
        ["db", "upgrade"],
        ["serve", "--no-reload", "--no-worker", "--port", "0"],
    ):
        assert merge in clone.refuses(*command), command
    assert "qb.E040" in clone.refuses("check")
    clone.does("db", "merge", "heads", "-m", "Merge migrations")
    clone.does("setup-dev")
    clone.does("db", "check")


async def test_two_heads_that_are_applied_are_a_warning(clone: Clone) -> None:
    (clone.folder / "alembic" / "versions" / "second.py").write_text(HEADS.format("second"))
    clone.does("db", "upgrade", "heads")
    assert "qb.W041" in clone.run("check").stderr


async def test_a_database_of_another_application_is_named_with_the_way_out(clone: Clone) -> None:
    await clone.query("CREATE TABLE users (id integer)")
    for command in (["check"], ["setup-dev"], ["db", "upgrade"], ["recreate-db"]):
        words = clone.refuses(*command)
        assert "users" in words, command
        assert "Name a database" in words, command
    assert await clone.query("SELECT count(*) FROM users") == [(0,)]


async def test_tables_of_others_beside_ours_are_no_finding(clone: Clone) -> None:
    clone.does("setup-dev")
    await clone.query("CREATE TABLE spatial_ref_sys (srid integer)")
    clone.does("db", "check")
    words = clone.run("check")
    assert "spatial" not in words.stdout + words.stderr
    assert "qb.E04" not in words.stdout + words.stderr
