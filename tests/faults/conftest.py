"""Real servers on real databases, as they are deployed."""

from pathlib import Path

import pytest

from tests.conftest import create_database
from tests.processes import manage, production

ADMINISTRATOR = {"email": "admin@example.com", "password": "seven purple herons"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def deployment(request: pytest.FixtureRequest, tmp_path: Path, worker_number: int) -> dict[str, str]:
    """The environment of a production system that has been set up."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    if request.param == "postgresql":
        url = await create_database(f"test_faults_{worker_number}")
    env = production(url, ADMIN_PASSWORD=ADMINISTRATOR["password"], INSTANCE_PATH=str(tmp_path))
    process = manage("setup-prod", env=env)
    assert process.returncode == 0, process.stderr
    return env
