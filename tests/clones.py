"""Clean clones of the project, whose commands run as a shell runs them: each in a process of its
own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

import app.features  # noqa: F401  (every table)
from app.database import Base
from app.environment import PROJECT_ROOT
from app.validators.database_url import database_url

TABLES = sorted(Base.metadata.tables)
EMPTY = dict.fromkeys(TABLES, 0) | {"alembic_version": 1}

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
# What a clone does not have: see .gitignore. Byte code comes along, because compiling everything
# anew costs a second for each clone; Python checks it against its source.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "instance", "build", "*.egg-info", ".*_cache", ".hypothesis", ".env"
)


def environment() -> dict[str, str]:
    """Return an environment without anything that the suite or its caller has configured."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


class Clone:
    """A fresh clone with the settings of a developer's machine, and a database that is looked at
    from outside.
    """

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder = folder
        self.timeout = 300  # seconds that a command may take on a busy machine
        self.database_url = database_url
        self.env = environment() | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        shutil.copytree(PROJECT_ROOT, folder, ignore=LEFT_OUT)

    def run(
        self, *arguments: str, stdin: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py with additional variables, and return its outcome."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.env | more,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self.timeout,
            check=False,
        )

    def does(self, *arguments: str, stdin: str = "", **more: str) -> str:
        """Run a command that must succeed; return what it printed."""
        process = self.run(*arguments, stdin=stdin, **more)
        assert process.returncode == 0, f"{arguments}: {process.stdout}{process.stderr}"
        return process.stdout

    def refuses(self, *arguments: str, stdin: str = "", **more: str) -> str:
        """Run a command that must fail with a message, not a traceback; return the message."""
        process = self.run(*arguments, stdin=stdin, **more)
        assert process.returncode != 0, f"{arguments}: {process.stdout}"
        assert "Traceback" not in process.stderr, process.stderr
        return process.stderr

    def lints(self, *parts: str) -> None:
        """Run some of the checks of `lint`, which must pass."""
        self.does("lint", *parts)

    def tests(self, *arguments: str) -> None:
        """Run tests of the clone, which must pass, on the PostgreSQL server of this run."""
        given = make_url(os.environ["TEST_POSTGRESQL"])
        number = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]
        url = given.set(database=f"test_inner_{number}").render_as_string(hide_password=False)
        workers = () if "-n" in arguments else ("-n", "0")
        self.does("test", *workers, *arguments, TEST_DATABASE_URL=url)

    async def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement, bypassing the application."""
        engine = create_async_engine(database_url(self.database_url), poolclass=NullPool)
        async with engine.begin() as connection:
            result = await connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    async def tables(self) -> set[str]:
        """Return the names of the tables in the database."""
        kind = "sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if not self.database_url.startswith("sqlite"):
            kind = "(SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public') AS found"
        return {name for (name,) in await self.query(f"SELECT name FROM {kind}")}

    async def counts(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        return {
            name: (await self.query(f'SELECT count(*) FROM "{name}"'))[0][0]
            for name in sorted(await self.tables())
        }
