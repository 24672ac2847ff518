"""Editing the list of features of a copy of the project."""

from pathlib import Path


def add_line(listed: Path, line: str) -> None:
    """Add an import to the list, in alphabetical order."""
    lines = listed.read_text().splitlines(keepends=True)
    imports = [number for number, each in enumerate(lines) if each.startswith("from app.")]
    at = next((number for number in imports if lines[number] > line), imports[-1] + 1)
    lines.insert(at, line)
    listed.write_text("".join(lines))
