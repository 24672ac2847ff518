"""Real servers on real databases, as they are deployed."""

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app import validators
from tests.conftest import create_database
from tests.processes import manage, production
from tests.servers import Server

ADMINISTRATOR = {"email": "admin@example.com", "password": "seven purple herons"}


def set_up(url: str, folder: Path) -> dict[str, str]:
    """Set a production system up on a database; returns its environment."""
    env = production(url, ADMIN_PASSWORD=ADMINISTRATOR["password"], INSTANCE_PATH=str(folder))
    process = manage("setup-prod", env=env)
    assert process.returncode == 0, process.stderr
    return env


@pytest.fixture(params=["sqlite", "postgresql"])
async def deployment(
    request: pytest.FixtureRequest, tmp_path: Path, worker_number: int
) -> dict[str, str]:
    """The environment of a production system that has been set up."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    if request.param == "postgresql":
        url = await create_database(f"test_faults_{worker_number}")
    return set_up(url, tmp_path)


@asynccontextmanager
async def transaction(env: dict[str, str]) -> AsyncIterator[AsyncSession]:
    """A session on a deployment's database, past its servers; commits when its block ends."""
    engine = create_async_engine(validators.database_url(env["DATABASE_URL"]), poolclass=NullPool)
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            yield session
    finally:
        await engine.dispose()


def signal_redis(valkey: Server, number: signal.Signals) -> None:
    """Kill, freeze or wake a server of one's own."""
    subprocess.run(["pkill", f"-{number.name[3:]}", "-P", str(valkey.process.pid)], check=True)
