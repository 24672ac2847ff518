"""A copy of the project whose features are added and removed."""

import os
from pathlib import Path

import pytest

from tests.clones import Clone

collect_ignore = ["notes"]  # an example that runs in a copy of the project


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Copy the project, with an empty SQLite database."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    return Clone(tmp_path / "clone", url, os.environ["REDIS_URL"])
