"""Clean clones of the project, whose commands run as a shell runs them.

Each in a process of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app import validators
from app.environment import PROJECT_ROOT

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
# What a clone does not have: see .gitignore.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "instance", "build", "*.egg-info", "__pycache__", ".*_cache", ".env"
)


def environment() -> dict[str, str]:
    """An environment without anything that the test suite or its caller has configured."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


class Clone:
    """A fresh clone with the settings of a developer's machine, and a database that is looked at
    from outside.
    """

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.env = environment() | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        shutil.copytree(PROJECT_ROOT, folder, ignore=LEFT_OUT)

    def run(
        self, *arguments: str, stdin: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py, and return what came of it."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.env | more,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def does(self, *arguments: str, stdin: str = "", **more: str) -> str:
        """The same for a command that succeeds; returns what it printed."""
        process = self.run(*arguments, stdin=stdin, **more)
        assert process.returncode == 0, f"{arguments}: {process.stdout}{process.stderr}"
        return process.stdout

    def refuses(self, *arguments: str, stdin: str = "", **more: str) -> str:
        """The same for a command that fails in words, without a traceback; returns the words."""
        process = self.run(*arguments, stdin=stdin, **more)
        assert process.returncode != 0, f"{arguments}: {process.stdout}"
        assert "Traceback" not in process.stderr, process.stderr
        return process.stderr

    async def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database, past the application."""
        engine = create_async_engine(validators.database_url(self.database_url), poolclass=NullPool)
        async with engine.begin() as connection:
            result = await connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    async def tables(self) -> set[str]:
        """The names of the tables that there are."""
        kind = "sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if not self.database_url.startswith("sqlite"):
            kind = "(SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public') AS found"
        return {name for (name,) in await self.query(f"SELECT name FROM {kind}")}

    async def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        return {
            name: (await self.query(f'SELECT count(*) FROM "{name}"'))[0][0]
            for name in sorted(await self.tables())
        }
