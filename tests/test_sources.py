"""Conventions that hold for the text of every file."""

import re
from pathlib import Path

from app.environment import PROJECT_ROOT
from development.quality import PATHS

LONGEST_FILE = 400

# Longer files, each with the reason why splitting it by subject would not help.
LONG = {
    "app/static/app.css": "one stylesheet, in the order of its cascade",
}


def sources() -> list[Path]:
    """Return every file that people write."""
    files = [
        path
        for part in PATHS
        for path in [PROJECT_ROOT / part, *(PROJECT_ROOT / part).rglob("*")]
        if path.suffix in (".py", ".html", ".txt", ".js", ".css")
    ]
    assert len(files) > 150
    return files


def name(path: Path) -> str:
    return path.relative_to(PROJECT_ROOT).as_posix()


def test_no_file_has_more_than_one_subject() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in sources()}
    assert {path for path, length in lengths.items() if length > LONGEST_FILE} == set(LONG)


def test_nothing_refers_to_a_numbered_row_of_a_table_that_nobody_here_can_read() -> None:
    numbered = re.compile(r"\brows? [0-9]+", re.IGNORECASE)
    assert {name(path) for path in sources() if numbered.search(path.read_text())} == set()
