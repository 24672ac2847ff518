"""Commands about the database's schema."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import click
from alembic import command

import app.features  # noqa: F401  (every table: what is not imported is neither dropped nor created)
from app import migrations
from app.config import load_settings, refuse_production
from app.environment import load_environment
from app.errors import Problem


async def recreate_db(config_name: str | None = None) -> migrations.Recreated:
    """Drop and create every table, stamped as the newest migration.

    Refuses under a production configuration.

    Returns the names of the tables whose data are gone, and of those that are there now.
    """
    load_environment()
    refuse_production("recreate-db destroys all data and", config_name)
    settings = load_settings(config_name)
    return await migrations.recreate(settings)


@click.command()
@click.pass_obj
def recreate_db_command(config_name: str) -> None:
    """Drop and create every table; all data are lost."""
    done = asyncio.run(recreate_db(config_name))
    if done.dropped:
        click.echo(
            f"Dropped {len(done.dropped)} tables with all their data: {', '.join(done.dropped)}."
        )
    click.echo(f"Created {len(done.created)} empty tables: {', '.join(done.created)}.")
    click.echo("Run setup-dev for the roles and the first administrator.")


@click.group()
def db_group() -> None:
    """Change the database's schema by migrations."""


def _run(operation: Callable[..., Any], **options: Any) -> Any:
    load_environment()
    settings = load_settings(click.get_current_context().obj)
    # "Running upgrade … -> …, what it does"
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
    return asyncio.run(migrations.run(settings, operation, **options))


@db_group.command()
@click.option("-m", "--message", required=True, help="What the migration does.")
def migrate(message: str) -> None:
    """Write a migration from what the models and the database differ in."""
    script = _run(command.revision, message=message, autogenerate=True)
    if find_spec("ruff"):  # so that `lint` has nothing to say about it
        for arguments in (("check", "-q", "--fix", "--select", "I"), ("format", "-q")):
            subprocess.run([sys.executable, "-m", "ruff", *arguments, script.path], check=False)


def _merge(revisions: tuple[str, ...], message: str | None) -> None:
    if revisions == ("heads",) and len(migrations.Revisions().heads) == 1:
        raise Problem("There is one newest migration, and nothing to merge.")
    _run(command.merge, revisions=revisions, message=message)


NEWEST = click.Argument(["revision"], default="head")
ONE_BACK = click.Argument(["revision"], default="-1")
SHOWN = click.Argument(["rev"], default="head", metavar="[REVISION]")
BRANCHES = click.Argument(["revisions"], nargs=-1, required=True)
SQL = click.Option(["--sql"], is_flag=True, help="Print the SQL instead of running it.")
MESSAGE = click.Option(["-m", "--message"], help="What the merge does.")

# Alembic's own commands, which take these under the same names: what `--help` says, and what they
# are given.
ALEMBIC: dict[Callable[..., Any], tuple[str, list[click.Parameter]]] = {
    command.upgrade: ("Apply migrations up to a revision [default: the newest].", [NEWEST, SQL]),
    command.downgrade: (
        "Take migrations back, down to a revision [default: one].",
        [ONE_BACK, SQL],
    ),
    command.current: ("Show the database's revision.", []),
    command.history: ("List all migrations.", []),
    command.heads: ("Show the newest revision.", []),
    command.stamp: ("Note a revision as the database's without running anything.", [NEWEST]),
    command.show: ("Show one migration.", [SHOWN]),
    command.check: ("Fail if models and migrations differ.", []),
}
for _operation, (_words, _takes) in ALEMBIC.items():
    _callback = partial(_run, _operation)
    db_group.add_command(
        click.Command(_operation.__name__, callback=_callback, params=_takes, help=_words)
    )
db_group.add_command(
    click.Command(
        "merge",
        callback=_merge,
        params=[BRANCHES, MESSAGE],
        help="Join branches of migrations: `db merge heads`.",
    )
)
