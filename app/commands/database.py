"""Commands about the database's schema."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import click
from alembic import command

from app import migrations
from app.accounts.commands import setup_dev
from app.checks import EMPTY, check_database, check_redis, check_roles, demand
from app.config import DEFAULT_ADMIN_PASSWORD, Config, load_settings, refuse_production
from app.environment import load_environment


async def recreate_db(config_name: str | None = None) -> list[str]:
    """Drop and create every table, stamped as the newest migration; refuses under a production configuration.

    Returns the names of the tables whose data are gone.
    """
    load_environment()
    refuse_production("recreate-db destroys all data and", config_name)
    settings = load_settings(config_name)
    return await migrations.recreate(settings)


@click.command()
@click.pass_obj
def recreate_db_command(config_name: str) -> None:
    """Drop and create every table; all data are lost."""
    dropped = asyncio.run(recreate_db(config_name))
    if dropped:
        click.echo(f"Dropped {len(dropped)} tables with all their data: {', '.join(dropped)}.")
    click.echo("Created every table anew. Run setup-dev for the roles and the first administrator.")


@click.group()
def db_group() -> None:
    """Change the database's schema by migrations."""


def _run(operation: Callable[..., Any], *args: Any, **options: Any) -> Any:
    load_environment()
    settings = load_settings(click.get_current_context().obj)
    # "Running upgrade … -> …, what it does"
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
    return asyncio.run(migrations.run(settings, operation, *args, **options))


@db_group.command()
@click.argument("revision", default="head")
@click.option("--sql", is_flag=True, help="Print the SQL instead of running it.")
def upgrade(revision: str, sql: bool) -> None:
    """Apply migrations up to a revision [default: the newest]."""
    _run(command.upgrade, revision, sql=sql)


@db_group.command()
@click.argument("revision", default="-1")
@click.option("--sql", is_flag=True, help="Print the SQL instead of running it.")
def downgrade(revision: str, sql: bool) -> None:
    """Take migrations back, down to a revision [default: one]."""
    _run(command.downgrade, revision, sql=sql)


@db_group.command()
@click.option("-m", "--message", required=True, help="What the migration does.")
def migrate(message: str) -> None:
    """Write a migration from what the models and the database differ in."""
    script = _run(command.revision, message=message, autogenerate=True)
    if find_spec("ruff"):  # so that `lint` has nothing to say about it
        for arguments in (("check", "-q", "--fix", "--select", "I"), ("format", "-q")):
            subprocess.run([sys.executable, "-m", "ruff", *arguments, script.path], check=False)


@db_group.command()
def current() -> None:
    """Show the database's revision."""
    _run(command.current)


@db_group.command()
def history() -> None:
    """List all migrations."""
    _run(command.history)


@db_group.command()
def heads() -> None:
    """Show the newest revision."""
    _run(command.heads)


@db_group.command()
@click.argument("revision", default="head")
def stamp(revision: str) -> None:
    """Note a revision as the database's without running anything."""
    _run(command.stamp, revision)


@db_group.command()
@click.argument("revision", default="head")
def show(revision: str) -> None:
    """Show one migration."""
    _run(command.show, revision)


@db_group.command()
@click.argument("revisions", nargs=-1, required=True)
@click.option("-m", "--message", help="What the merge does.")
def merge(revisions: tuple[str, ...], message: str | None) -> None:
    """Join two branches of migrations."""
    _run(command.merge, revisions, message=message)


@db_group.command()
def check() -> None:
    """Fail if models and migrations differ."""
    _run(command.check)


async def prepare_to_serve(config_name: str | None = None) -> list[str]:
    """Make sure that `serve` can serve, and return what to tell whoever started it.

    In development an empty database is migrated and seeded. Everything else that is missing is a `NotReady` that says
    what to do.
    """
    load_environment()
    settings = load_settings(config_name)
    lines = []
    demand(await check_redis(settings))
    findings = await check_database(settings) or await check_roles(settings)
    if settings.DEBUG and [finding.id for finding in findings] == [EMPTY]:
        await setup_dev(config_name)
        lines.append("The database was empty: it is migrated, with roles and an administrator.")
    else:
        demand(findings)
    if settings.DEBUG:
        page, password = f"{settings.BASE_URL}/account/login", password_hint(settings)
        lines.append(f"Log in at {page} as {settings.ADMIN_EMAIL}, password {password}.")
        if not settings.MAIL_SERVER:
            lines.append(f"Read the mail that it sends at {settings.BASE_URL}/dev/mail.")
    return lines


def password_hint(settings: Config) -> str:
    """Development's password is no secret; one that somebody chose is not shown."""
    return repr(DEFAULT_ADMIN_PASSWORD) if settings.ADMIN_PASSWORD == DEFAULT_ADMIN_PASSWORD else "as in ADMIN_PASSWORD"
