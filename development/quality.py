"""Commands that check the code: tests, lint, format. Their tools' exit statuses are passed on."""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from app.environment import PROJECT_ROOT

PARTS = ("app", "development", "alembic", "tests", "bench", "manage.py", "worker.py")
PATHS = tuple(part for part in PARTS if (PROJECT_ROOT / part).exists())


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test_command(arguments: tuple[str, ...]) -> None:
    """Run the tests; arguments go to pytest."""
    sys.exit(run("pytest", *arguments))


@click.command()
def lint_command() -> None:
    """Check format, lint, types, import contract and migrations."""
    steps = [
        ("format", ("ruff", "format", "--check", *PATHS)),
        ("lint", ("ruff", "check", *PATHS)),
        ("types", ("mypy",)),
        ("imports", ("importlinter",)),
    ]
    failed = []
    for name, step in steps:
        click.echo(f"--- {name}")
        if run(*step):
            failed.append(name)
    click.echo("--- migrations")
    if _migrations_drift():
        failed.append("migrations")
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
    """Run a tool on the project and return its exit status."""
    if find_spec(module) is None:
        raise click.ClickException(
            f"This needs {module}. Run: pip install -c constraints.txt -e '.[test]'"
        )
    command = [sys.executable, "-m", module, *arguments]
    if module == "importlinter":  # it cannot be run as a module
        command[1:] = ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    return subprocess.run(command, cwd=folder, check=False).returncode


def _migrations_drift() -> int:
    """Whether the models differ from what all migrations make of an empty database, a
    scratch one.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "TEST_DATABASE_URL": f"sqlite:///{Path(folder) / 'drift.sqlite3'}"
        }
        manage = [sys.executable, "manage.py", "-c", "testing", "db"]
        for step in ("upgrade", "check"):
            status = subprocess.run(
                [*manage, step], cwd=PROJECT_ROOT, env=environment, check=False
            ).returncode
            if status:
                return status
    return 0
