"""A copy of the project whose features are added and removed."""

import os
from pathlib import Path

import pytest

from tests.clones import Clone
from tests.conftest import create_database

collect_ignore = ["notes"]  # an example that runs in a copy of the project


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A copy of the project on a fresh SQLite database."""
    return Clone(
        tmp_path / "clone", f"sqlite:///{tmp_path / 'test.sqlite3'}", os.environ["REDIS_URL"]
    )


@pytest.fixture
async def clone_on_postgresql(tmp_path: Path, worker_number: int) -> Clone:
    """A copy of the project on a fresh PostgreSQL database."""
    url = await create_database(f"test_features_{worker_number}")
    return Clone(tmp_path / "clone", url, os.environ["REDIS_URL"])
