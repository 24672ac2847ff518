"""The documents, and what they name."""

import re
from pathlib import Path

from app.environment import PROJECT_ROOT

NAMES = ["README.md", "AGENTS.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
DOCUMENTS = [
    *(PROJECT_ROOT / name for name in NAMES),
    *sorted((PROJECT_ROOT / "docs").glob("*.md")),
    *sorted((PROJECT_ROOT / "app").rglob("*.md")),
]

FENCE = re.compile(r"^( *)```(?P<language>\w*)\n(?P<text>.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def label(document: Path) -> str:
    """Return a document's path in the project, as the name of a test's case."""
    return document.relative_to(PROJECT_ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return [found["text"] for found in FENCE.finditer(text) if found["language"] == language]


def prose(text: str) -> str:
    """Return the text without its blocks of code."""
    return FENCE.sub("", text)


def codes(text: str) -> list[str]:
    """Return what stands in backticks in the prose."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
