"""Real servers on real databases, as they are deployed."""

import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app.environment import PROJECT_ROOT
from app.validators.database_url import database_url
from tests.clones import LEFT_OUT
from tests.conftest import create_database
from tests.faults.serving import Serve, left_after
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
    engine = create_async_engine(database_url(env["DATABASE_URL"]), poolclass=NullPool)
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            yield session
    finally:
        await engine.dispose()


def signal_redis(valkey: Server, number: signal.Signals) -> None:
    """Kill, freeze or wake a server of one's own."""
    subprocess.run(["pkill", f"-{number.name[3:]}", "-P", str(valkey.process.pid)], check=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a fresh clone."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT, folder, ignore=LEFT_OUT)
    return folder


@pytest.fixture
def serve(project: Path) -> Iterator[Callable[..., Serve]]:
    """Return a function that runs `serve` in the clone on a free port; kill what a test leaves."""
    runs: list[Serve] = []

    def run(*options: str, config: str = "default", port: int = 0, **variables: str) -> Serve:
        runs.append(
            Serve(project, "-c", config, "serve", "--port", str(port), *options, **variables)
        )
        return runs[-1]

    yield run
    for one in runs:
        if one.process.poll() is None:
            family = one.family()
            one.end(signal.SIGKILL)
            for process in left_after(5, family):
                process.kill()
