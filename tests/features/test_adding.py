"""A feature is a folder and one line: those of the documents are added to a copy of the project."""

import pytest

from tests.clones import Clone
from tests.features.changing import add_notes, remove

# What the base promises of every feature, whatever it is.
SWEEPS = (
    "tests/test_sweeps.py",
    "tests/web/test_access.py",
)
WHOLE_SUITE = 900  # seconds that it may take on a busy machine

# Writes a note and sends its reminder, then prints what is in the mailbox.
REMINDER = """
from app.auth.identity import Identity
from app.mail.mailbox import captured_emails
from app.notes import service

async with db.transaction() as session:
    user = User(email="a@example.com", first_name="A", last_name="B")
    session.add(user)
    await session.flush()
    note = await service.add_note(session, Identity(user_id=user.id), "Water the plants")
await service.send_reminder(note.id)
print([each.subject for each in captured_emails(app.extensions["settings"])])
"""


@pytest.fixture
async def notes(clone: Clone) -> Clone:
    """A copy with the feature of docs/features.md, on a database that has its table."""
    add_notes(clone, "docs/features.md")
    clone.does("setup-dev")
    clone.does("db", "migrate", "-m", "Add notes")
    clone.does("db", "upgrade")
    assert "notes" in await clone.tables()
    return clone


@pytest.mark.faults
@pytest.mark.waits
async def test_a_feature_is_a_folder_and_one_line(notes: Clone) -> None:
    """Its own tests run on both databases, the base's on one: they look at the code."""
    notes.tests("-k", "notes or not postgresql", "tests/notes", *SWEEPS)
    notes.lints("format", "lint", "imports")


@pytest.mark.faults
async def test_the_readmes_feature_is_a_page(clone: Clone) -> None:
    add_notes(clone, "README.md")
    clone.does("setup-dev")
    assert "/notes" in clone.does("routes")
    ask = "response = await app.test_client().get('/notes/')\nprint(response.status_code)"
    assert clone.does("shell", stdin=ask).strip() == "200"
    clone.lints("format", "lint", "imports")


@pytest.mark.faults
async def test_with_one_more_feature_the_whole_suite_and_lint_pass(notes: Clone) -> None:
    notes.timeout = WHOLE_SUITE
    notes.does("lint")
    # Which database it is makes no difference to what was added.
    ignored = ("--ignore", "tests/features", "--ignore", "tests/docs")
    notes.tests("-n", "auto", *ignored, "-k", "not postgresql")
    assert "Your note of yesterday" in notes.does("shell", stdin=REMINDER)


@pytest.mark.faults
async def test_a_feature_that_is_removed_leaves_a_migration_that_drops_its_table(
    notes: Clone,
) -> None:
    remove(notes, "notes")
    notes.does("db", "migrate", "-m", "Remove notes")
    notes.does("db", "upgrade")
    notes.does("db", "check")
    assert "notes" not in await notes.tables()
