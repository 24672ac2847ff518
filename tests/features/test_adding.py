"""A feature is a folder and one line: an example is added to a copy of the project."""

import pytest

from tests.clones import Clone
from tests.features.changing import add_notes, remove

# What the base promises of every feature, whatever it is.
SWEEPS = (
    "tests/test_sweeps.py",
    "tests/web/test_access.py",
)
WHOLE_SUITE = 900  # seconds that it may take on a busy machine


@pytest.fixture
async def clone(clone: Clone) -> Clone:
    """A copy with the example in it, on a database that has its table."""
    add_notes(clone)
    clone.does("db", "upgrade")
    clone.does("db", "migrate", "-m", "Add notes")
    clone.does("db", "upgrade")
    assert "notes" in await clone.tables()
    return clone


async def test_a_feature_is_a_folder_and_one_line(clone: Clone) -> None:
    """Its own tests run on both databases, the base's on one: they look at the code."""
    clone.tests("-k", "notes or not postgresql", "tests/notes", *SWEEPS)
    clone.lints("format", "lint", "imports")


@pytest.mark.faults
async def test_with_one_more_feature_the_whole_suite_and_lint_pass(clone: Clone) -> None:
    clone.timeout = WHOLE_SUITE
    clone.does("lint")
    clone.tests("-n", "auto", "--ignore", "tests/features")


@pytest.mark.faults
async def test_a_feature_that_is_removed_leaves_a_migration_that_drops_its_table(
    clone: Clone,
) -> None:
    remove(clone, "notes")
    clone.does("db", "migrate", "-m", "Remove notes")
    clone.does("db", "upgrade")
    clone.does("db", "check")
    assert "notes" not in await clone.tables()
