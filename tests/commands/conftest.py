"""A clean clone on an empty database of each kind."""

import os
from pathlib import Path

import pytest

from tests.clones import Clone
from tests.conftest import create_database


@pytest.fixture(params=["sqlite", "postgresql"])
async def clone(request: pytest.FixtureRequest, tmp_path: Path, worker_number: int) -> Clone:
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    if request.param == "postgresql":
        url = await create_database(f"test_clone_{worker_number}")
    return Clone(tmp_path / "clone", url, os.environ["REDIS_URL"])
