"""The core stays an afternoon's reading."""

import re

from app.environment import PROJECT_ROOT

LONGEST = 2500  # lines in all

ENTRY = re.compile(
    r"^(?P<number>\d+)\. \[`(?P<path>[^`]+)`\]\(\.\./(?P<link>[^)]+)\): (?P<words>.+)$",
    re.MULTILINE,
)
READING = (PROJECT_ROOT / "docs" / "reading.md").read_text()


def test_what_everybody_has_to_read_is_an_afternoons_reading() -> None:
    paths = [found["path"] for found in ENTRY.finditer(READING)]
    assert len(paths) > 10
    assert len(set(paths)) == len(paths)
    lines = {path: len((PROJECT_ROOT / path).read_text().splitlines()) for path in paths}
    assert sum(lines.values()) <= LONGEST, lines


def test_every_file_of_the_reading_path_is_a_step_with_a_sentence() -> None:
    found = list(ENTRY.finditer(READING))
    assert len(found) == len(re.findall(r"^\d+\. ", READING, re.MULTILINE))
    assert [int(each["number"]) for each in found] == list(range(1, len(found) + 1))
    assert all(each["path"] == each["link"] for each in found)
    assert all(each["words"].endswith(".") for each in found)
