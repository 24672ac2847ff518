"""The features that documents write out work when they are copied as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.environment import PROJECT_ROOT
from tests.clones import Clone
from tests.docs import recipes
from tests.docs.documents import blocks

LINE = "from app.notes import feature as notes\n"
BEFORE = "# Every feature imported above"  # in app/features.py

# Writes a note and sends its reminder, then prints what is in the mailbox.
REMINDER = """
from app.accounts import service as accounts
from app.auth.identity import Identity
from app.mail.mailbox import captured_emails
from app.notes import service

async with db.transaction() as session:
    await accounts.insert_roles(session)
    role = await accounts.role_named(session, "User")
    user = User(email="a@example.com", first_name="A", last_name="B", role_id=role.id)
    session.add(user)
    await session.flush()
    note = await service.add_note(session, Identity(user_id=user.id), "Water the plants")
await service.send_reminder(note.id)
print([each.subject for each in captured_emails(app.extensions["settings"])])
"""


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone", f"sqlite:///{tmp_path / 'a.sqlite3'}", os.environ["REDIS_URL"])


def follow(document: str, clone: Clone) -> None:
    """Write the files of a document into a clone, and the line into its list of features."""
    text = (PROJECT_ROOT / document).read_text()
    assert LINE in blocks(text, "python")
    for path, content in recipes.files(text).items():
        (clone.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (clone.folder / path).write_text(content)
    features = clone.folder / "app" / "features.py"
    parts = features.read_text().partition(f"\n{BEFORE}")
    features.write_text("".join([parts[0], LINE, *parts[1:]]))


def test_the_readmes_feature_is_a_page(clone: Clone) -> None:
    follow("README.md", clone)
    clone.does("setup-dev")
    assert "/notes" in clone.does("routes")
    ask = "response = await app.test_client().get('/notes/')\nprint(response.status_code)"
    assert clone.does("shell", stdin=ask).strip() == "200"
    clone.does("format")
    lint(clone)


@pytest.mark.faults
def test_the_whole_feature_passes_its_tests_and_reminds(clone: Clone) -> None:
    follow("docs/features.md", clone)
    clone.does("db", "upgrade")
    clone.does("db", "migrate", "-m", "Add notes")
    clone.does("db", "upgrade")
    clone.does("format")
    lint(clone)
    clone.does("test", "-n", "0", "tests/notes")
    assert "Your note of yesterday" in clone.does("shell", stdin=REMINDER)


def lint(clone: Clone) -> None:
    """Check the code of a clone, without its types, which take a minute."""
    command = [sys.executable, "-m", "ruff", "check", "app", "tests"]
    assert subprocess.run(command, cwd=clone.folder, check=False).returncode == 0
