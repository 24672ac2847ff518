"""Adding features to a copy of the project, and removing them from it."""

import re
import shutil

from app.environment import PROJECT_ROOT
from tests.clones import Clone
from tests.docs import recipes

IMPORT = re.compile(r"^from app\.(\w+) import feature as \1\n", re.MULTILINE)
NEEDED = {"accounts", "jobs", "mail"}  # the base itself stands on these


def listed(text: str) -> list[str]:
    """Return the names of the features that a list like `app/features.py` imports."""
    return IMPORT.findall(text)


def optional() -> list[str]:
    """Return the names of the project's features that may be removed."""
    found = listed((PROJECT_ROOT / "app" / "features.py").read_text())
    assert set(found) >= NEEDED
    return [name for name in found if name not in NEEDED]


def add_notes(clone: Clone, document: str) -> None:
    """Add the feature that a document writes out to a copy: its files, and one line."""
    text = (PROJECT_ROOT / document).read_text()
    for name, content in recipes.files(text).items():
        written = clone.folder / name
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(content)
    path = clone.folder / "app" / "features.py"
    lines = path.read_text().splitlines(keepends=True)
    line = "from app.notes import feature as notes\n"
    assert line in text
    imports = [number for number, each in enumerate(lines) if IMPORT.match(each)]
    after = next((number for number in imports if lines[number] > line), imports[-1] + 1)
    path.write_text("".join([*lines[:after], line, *lines[after:]]))


def remove(clone: Clone, *names: str) -> None:
    """Remove features from a copy: their folders, their tests, and their lines."""
    path = clone.folder / "app" / "features.py"
    for name in names:
        shutil.rmtree(clone.folder / "app" / name)
        shutil.rmtree(clone.folder / "tests" / name, ignore_errors=True)
        for browsing in (clone.folder / "tests" / "browser").glob(f"test_{name}_*.py"):
            browsing.unlink()
        lines = path.read_text().splitlines(keepends=True)
        left = [line for line in lines if f"from app.{name} " not in line]
        assert len(left) == len(lines) - 1, f"{name} has one line in the list"
        path.write_text("".join(left))
