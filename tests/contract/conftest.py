"""A filled deployment on PostgreSQL, and tools in an environment of their own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import create_database
from tests.contract.stage import fill
from tests.faults.accounts.conftest import NO_LIMITS_AT_ALL
from tests.faults.conftest import set_up

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Tools:
    """An environment with what requirements.txt names."""

    folder: Path

    @property
    def path(self) -> str:
        """PATH with its programs in front: the generator of clients looks for a formatter."""
        return f"{self.folder / 'bin'}:{os.environ['PATH']}"

    def run(self, *command: str | Path, cwd: Path) -> str:
        """Run one of its programs, which has to succeed, and return what it prints."""
        program = self.folder / "bin" / command[0]
        process = subprocess.run(
            [program, *command[1:]],
            cwd=cwd,
            env=os.environ | {"PATH": self.path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert process.returncode == 0, process.stdout
        return process.stdout


@pytest.fixture(scope="package")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Install the tools, whose dependencies are not the application's, or take those that are."""
    if given := os.environ.get("CONTRACT_TOOLS"):
        return Tools(Path(given))
    folder = tmp_path_factory.mktemp("tools")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    tools = Tools(folder)
    tools.run("pip", "install", "-q", "-r", HERE / "requirements.txt", cwd=folder)
    return tools


@dataclass(frozen=True)
class Deployment:
    """A deployment whose database is filled, and is only copied."""

    env: dict[str, str]
    database: str

    async def copy(self, name: str) -> dict[str, str]:
        """Copy it under another name; returns the environment of a server on the copy."""
        url = await create_database(f"{self.database}_{name}", self.database)
        return self.env | NO_LIMITS_AT_ALL | {"DATABASE_URL": url}


@pytest.fixture(scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> Deployment:
    """Set the deployment up and fill it."""
    database = f"test_contract_{worker_number}"
    env = set_up(await create_database(database), tmp_path_factory.mktemp("contract"))
    await fill(env)
    return Deployment(env, database)
