"""A copy of the project whose features are added and removed."""

import os
from pathlib import Path

import pytest

from tests.clones import Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Copy the project, with an empty SQLite database."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    return Clone(tmp_path / "clone", url, os.environ["REDIS_URL"])
