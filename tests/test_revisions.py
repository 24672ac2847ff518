"""Which migrations there are, read without Alembic."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from app import revisions
from app.environment import PROJECT_ROOT
from app.revisions import Revisions


def write(folder: Path, revision: str, down: object) -> None:
    (folder / f"{revision}.py").write_text(
        f'"""A migration."""\n\nimport nothing_of_that_name\n\nrevision = {revision!r}\n'
        f"down_revision = {down!r}\n\n\ndef upgrade() -> None:\n    revision = 'another'\n"
    )


def test_alembic_finds_the_same() -> None:
    script = ScriptDirectory(str(PROJECT_ROOT / "alembic"))
    found = Revisions()
    assert found.heads == set(script.get_heads())
    assert found.known == {revision.revision for revision in script.walk_revisions()}
    assert len(found.known) > 3


def test_branches_and_merges_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "PROJECT_ROOT", tmp_path)
    folder = tmp_path / "alembic" / "versions"
    folder.mkdir(parents=True)
    write(folder, "a", None)
    write(folder, "b", "a")
    write(folder, "c", "a")
    assert Revisions().heads == {"b", "c"}
    write(folder, "d", ("b", "c"))
    assert Revisions().heads == {"d"}
    (folder / "e.py").write_text(
        "revision: str = 'e'\ndown_revision: tuple[str, ...] | None = (\n    'd',\n    'x',\n)\n"
        "branch_labels = 'no_revision'\n"
    )
    (folder / "f.py").write_text(
        "revision = 'f'  # replaces 'ff'\ndown_revision = [\n    'e',\n]\n"
        'def upgrade():\n    op.execute("""\nrevision = "zz"\n""")\n'
    )
    (folder / ".#f.py").symlink_to(folder / "nowhere")  # as an editor locks a file
    assert Revisions().heads == {"f"}
    (folder / "e.py").unlink()
    (folder / "f.py").unlink()
    assert Revisions().known == {"a", "b", "c", "d"}


def test_a_web_process_loads_neither_alembic_nor_dictionaries_of_passwords() -> None:
    code = (
        "import sys, app.factory; print(sorted({'alembic', 'mako', 'zxcvbn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
