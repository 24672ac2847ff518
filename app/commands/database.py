"""The commands that change the database schema."""

import asyncio
import contextlib
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import click
from alembic import command
from alembic.util.exc import CommandError

import app.features  # noqa: F401  (knows every table)
from app import migrations
from app.config import Config, load_settings, refuse_production
from app.environment import load_environment
from app.errors import Problem
from app.revisions import Revisions

# What Alembic says of one that it does not have, typed or found in the database.
UNKNOWN = re.compile(r"^Can't locate revision identified by '(.*)'")


async def recreate_db(config_name: str | None = None) -> migrations.Recreated:
    """Drop and create every table, and stamp the database with the newest migration.

    Returns the names of the tables that were dropped with their data, and of those that were
    created. Raises `Problem` under a production configuration.
    """
    load_environment()
    refuse_production("recreate-db destroys all data and", config_name)
    settings = load_settings(config_name)
    return await migrations.recreate(settings)


@click.command()
@click.pass_obj
def recreate_db_command(config_name: str) -> None:
    """Drop and create every table; all data is lost."""
    done = asyncio.run(recreate_db(config_name))
    if done.dropped:
        click.echo(
            f"Dropped {len(done.dropped)} tables with all their data: {', '.join(done.dropped)}."
        )
    click.echo(f"Created {len(done.created)} empty tables: {', '.join(done.created)}.")
    click.echo("Run setup-dev for the roles and the first administrator.")


@click.group()
def db_group() -> None:
    """Manage the database schema with migrations."""


def _run(operation: Callable[..., Any], **options: Any) -> Any:
    with _typed(options):
        return asyncio.run(migrations.run(_settings(), operation, **options))


@contextlib.contextmanager
def _typed(options: dict[str, Any]) -> Iterator[None]:
    """Say of a migration that was typed, rather than of one in the database, that there is none."""
    try:
        yield
    except CommandError as error:
        [unknown] = UNKNOWN.findall(str(error)) or [""]
        values = (options.get("revision"), options.get("rev"), *options.get("revisions", ()))
        if unknown and unknown in values:
            raise Problem(
                f"There is no migration {unknown!r}. See: python manage.py db history"
            ) from None
        raise


def _settings() -> Config:
    load_environment()
    settings = load_settings(click.get_current_context().obj)
    # Show "Running upgrade … -> …, what it does".
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
    return settings


def _upgrade(revision: str, sql: bool) -> None:
    if sql:
        _run(command.upgrade, revision=revision, sql=True)
    else:
        with _typed({"revision": revision}):
            asyncio.run(migrations.upgrade(_settings(), revision))


def _not_blank(ctx: click.Context, option: click.Parameter, message: str | None) -> str | None:
    if message is not None and not message.strip():
        raise click.BadParameter("say it in a few words.")
    return message


@db_group.command()
@click.option(
    "-m", "--message", required=True, callback=_not_blank, help="What the migration does."
)
def migrate(message: str) -> None:
    """Generate a migration from the differences between the models and the database."""
    _format(_run(command.revision, message=message, autogenerate=True))


def _format(script: Any) -> None:
    """Bring a new migration into the form that `lint` wants, where its tools are installed."""
    if find_spec("ruff"):
        for arguments in (("check", "-q", "--fix", "--select", "F401,I"), ("format", "-q")):
            subprocess.run([sys.executable, "-m", "ruff", *arguments, script.path], check=False)


def _merge(revisions: tuple[str, ...], message: str | None) -> None:
    if revisions == ("heads",) and len(Revisions().heads) == 1:
        raise Problem("There is only one head, so there is nothing to merge.")
    _format(_run(command.merge, revisions=revisions, message=message))


NEWEST = click.Argument(["revision"], default="head")
ONE_BACK = click.Argument(["revision"], default="-1")
SHOWN = click.Argument(["rev"], default="head", metavar="[REVISION]")
BRANCHES = click.Argument(["revisions"], nargs=-1, required=True)
SQL = click.Option(["--sql"], is_flag=True, help="Print the SQL instead of running it.")
MESSAGE = click.Option(["-m", "--message"], callback=_not_blank, help="The title of the merge.")

# Alembic's commands with their help and parameters, which have the names that Alembic gives them.
ALEMBIC: dict[Callable[..., Any], tuple[str, list[click.Parameter]]] = {
    command.downgrade: (
        "Revert migrations down to a revision [default: the last one].",
        [ONE_BACK, SQL],
    ),
    command.current: ("Show the revision of the database.", []),
    command.history: ("List all migrations.", []),
    command.heads: ("Show the newest revisions.", []),
    command.stamp: ("Set the revision of the database without running migrations.", [NEWEST]),
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
        "upgrade",
        callback=_upgrade,
        params=[NEWEST, SQL],
        help="Apply migrations up to a revision [default: the newest].",
    )
)
db_group.add_command(
    click.Command(
        "merge",
        callback=_merge,
        params=[BRANCHES, MESSAGE],
        help="Merge branches of migrations: `db merge heads`.",
    )
)
