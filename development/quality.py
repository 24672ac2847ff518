"""Commands that check the code: `test`, `lint` and `format`. They exit as their tools do."""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from app.environment import PROJECT_ROOT
from app.validators.database_url import sqlite_url

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
@click.argument("parts", nargs=-1, type=click.Choice([*CHECKS, "migrations"]))
def lint_command(parts: tuple[str, ...]) -> None:
    """Check format, lint, types, import contract and migrations.

    Given the names of some PARTS, check only those.
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
    """Migrate an empty scratch database and compare it with the models.

    Returns 0 when they agree, else the exit status of the step that failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"TEST_DATABASE_URL": sqlite_url(Path(folder) / "drift.sqlite3")}
        manage = [sys.executable, "manage.py", "-c", "testing", "db"]
        for step in ("upgrade", "check"):
            status = subprocess.run(
                [*manage, step], cwd=PROJECT_ROOT, env=environment, check=False
            ).returncode
            if status:
                return status
    return 0
