"""Commands that check the code: `test`, `lint` and `format`. They exit as their tools do."""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from app.environment import PROJECT_ROOT
from app.errors import NotReady
from app.validators.database_url import sqlite_url
from development import embedded

PARTS = ("app", "development", "alembic", "tests", "bench", "manage.py", "worker.py")
PATHS = tuple(part for part in PARTS if (PROJECT_ROOT / part).exists())

# The parts of `lint` that a tool does: its name, and the arguments of its command.
CHECKS = {
    "format": ("ruff", "format", "--check", *PATHS),
    "lint": ("ruff", "check", *PATHS),
    "types": ("mypy",),
    "imports": ("importlinter",),
}


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test_command(arguments: tuple[str, ...]) -> None:
    """Run the tests; arguments go to pytest."""
    sys.exit(run("pytest", *arguments))


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice([*CHECKS, "migrations"]), metavar="[PARTS]...")
def lint_command(parts: tuple[str, ...]) -> None:
    """Check format, lint, types, import contract and migrations.

    Given the names of some PARTS, check only those: format, lint, types, imports or migrations.
    """
    failed = []
    for name in parts or (*CHECKS, "migrations"):
        click.echo(f"--- {name}")
        if run(*CHECKS[name]) if name in CHECKS else _migrations_drift():
            failed.append(name)
    if failed:
        raise click.ClickException(f"Not in order: {', '.join(failed)}.")
    click.echo("Everything is in order.")


@click.command()
def format_command() -> None:
    """Format the code and sort its imports."""
    sys.exit(
        run("ruff", "check", "--select", "I", "--fix", *PATHS) or run("ruff", "format", *PATHS)
    )


def run(module: str, *arguments: str, folder: Path = PROJECT_ROOT) -> int:
    """Run a tool on the project and return its exit status.

    Raises `ClickException`, with the command that installs it, when the tool is missing.
    """
    if find_spec(module) is None:
        raise click.ClickException(
            f"This needs {module}. Run: pip install -c constraints.txt -e '.[test]'"
        )
    command = [sys.executable, "-m", module, *arguments]
    if module == "importlinter":  # it cannot be run as a module
        command[1:] = ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    return subprocess.run(command, cwd=folder, check=False).returncode


def _migrations_drift() -> int:
    """Migrate an empty database of each kind, and compare it with the models.

    Returns 0 when they agree, else the exit status of the step that failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        status = _drift(sqlite_url(scratch / "drift.sqlite3"))
        if status:
            return status
        try:
            # Imported late: Windows does not have it.
            from development import postgresql

            server = postgresql.server(scratch)
            embedded.ensure_running(server)
        except (ImportError, NotReady) as error:
            click.echo(f"Not run on PostgreSQL, for which SQL is only written: {error}")
            return _manage("postgresql:///nowhere", "upgrade", "--sql", stdout=subprocess.DEVNULL)
        try:
            return _drift(postgresql.url(scratch))
        finally:
            embedded.stop(server.log)


def _drift(database_url: str) -> int:
    click.echo(f"Migrations on {'SQLite' if database_url.startswith('sqlite') else 'PostgreSQL'}")
    return _manage(database_url, "upgrade") or _manage(database_url, "check")


def _manage(database_url: str, *command: str, stdout: int | None = None) -> int:
    environment = os.environ | {"TEST_DATABASE_URL": database_url}
    manage = [sys.executable, "manage.py", "-c", "testing", "db", *command]
    return subprocess.run(
        manage, cwd=PROJECT_ROOT, env=environment, stdout=stdout, check=False
    ).returncode
