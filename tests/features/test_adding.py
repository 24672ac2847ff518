"""A feature is a folder and one line: one is added to a copy of the project."""

import shutil
from pathlib import Path

from app.environment import PROJECT_ROOT
from tests.clones import Clone
from tests.features.changing import add_line

EXAMPLE = PROJECT_ROOT / "tests" / "features" / "notes"
LINE = "from app.notes import feature as notes\n"

# What the base promises of every feature.
SWEEPS = ("tests/sweeps", "tests/web/test_access.py", "tests/commands")


def add_notes(clone: Clone) -> None:
    """Add the example's folders and its line, as the recipe has it."""
    shutil.copytree(EXAMPLE / "app", clone.folder / "app" / "notes")
    shutil.copytree(EXAMPLE / "tests", clone.folder / "tests" / "notes")
    add_line(clone.folder / "app" / "features.py", LINE)


async def migrate(clone: Clone) -> Path:
    """Write and apply the migration of the new table; returns its file."""
    clone.does("db", "upgrade")
    clone.does("db", "migrate", "-m", "Add notes")
    clone.does("db", "upgrade")
    clone.does("db", "check")
    assert "notes" in await clone.tables()
    [written] = clone.folder.glob("alembic/versions/*add_notes.py")
    return written


async def test_a_feature_is_a_folder_and_one_line(clone: Clone) -> None:
    add_notes(clone)
    await migrate(clone)
    assert "/api/v1/notes" in clone.does("routes")
    clone.does(
        "test",
        "-n",
        "0",
        "tests/notes",
        "tests/test_sweeps.py",
        "tests/web/test_access.py",
        **clone.for_tests,
    )
