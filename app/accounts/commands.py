"""The commands that create roles and administrators, and that shut users out."""

import asyncio
import sys

import click
from sqlalchemy.ext.asyncio import AsyncSession

from app import application, migrations
from app.accounts import roles, service
from app.auth.hashing import normal_password, passwords
from app.config import DEFAULT_ADMIN_PASSWORD, Config
from app.database import db
from app.errors import Problem
from app.health import probes
from app.validators.email_address import EmailAddress, email_address


async def setup_dev(config_name: str | None = None) -> None:
    """Migrate the database, and create the roles and the first administrator. Idempotent."""
    async with application(config_name) as app:
        loaded: Config = app.extensions["settings"]
        if loaded.PRODUCTION:
            raise Problem(
                f"setup-dev is not for the configuration {loaded.NAME!r}. Run setup-prod instead."
            )
        await _set_up(loaded)


async def setup_prod(config_name: str | None = None) -> None:
    """Set up production: migrate, and create the roles and the first administrator. Idempotent.

    The administrator is created from ADMIN_EMAIL and ADMIN_PASSWORD. Raises `Problem` or
    `WeakPassword`, before anything is changed, if one is missing or the password is known or weak.
    """
    async with application(config_name) as app:
        await _set_up(app.extensions["settings"])


async def _set_up(loaded: Config) -> None:
    email, password = loaded.ADMIN_EMAIL or "", loaded.ADMIN_PASSWORD or ""
    is_set_up = await _has_administrator(loaded)
    if not is_set_up:
        await _require_administrator(loaded, email, password)
    await migrations.upgrade(loaded)
    await probes.require(loaded, probes.database)
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        await roles.insert_roles(session)
        if is_set_up or await service.has_administrator(session):
            return
        if await service.find_user(session, email):
            raise Problem(
                f"{email} has an account, but it is not an administrator's. "
                f"If it is yours, run: python manage.py create-admin {email}"
            )
        await service.make_administrator(session, email, password_hash)


async def _has_administrator(loaded: Config) -> bool:
    """Return whether there is an administrator; False if the schema is missing or outdated."""
    if await probes.find(loaded, probes.database):
        return False
    async with db.session() as session:
        return await service.has_administrator(session)


async def _require_administrator(loaded: Config, email: str, password: str) -> None:
    if not loaded.PRODUCTION:
        return
    values = {"ADMIN_EMAIL": email, "ADMIN_PASSWORD": password}
    if missing := [name for name, value in values.items() if not value]:
        raise Problem(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set. The first "
            "administrator of production needs both."
        )
    if normal_password(password) == DEFAULT_ADMIN_PASSWORD:
        raise Problem("ADMIN_PASSWORD is the default, which everybody knows. Choose another one.")
    await passwords.require_strong(password, [email, loaded.APP_NAME])


async def create_admin(email: str, password: str, config_name: str | None = None) -> bool:
    """Create a confirmed administrator, or promote a user to one, with this password.

    Returns whether the account is new. Raises `Problem` for an invalid address, `WeakPassword`.
    """
    async with application(config_name):
        await passwords.require_strong(password, [valid_address(email)])
        password_hash = await passwords.hash(password)
        async with db.transaction() as session:
            await roles.insert_roles(session)
            return await service.make_administrator(session, email, password_hash)


async def disable_user(email: str, config_name: str | None = None) -> None:
    """Shut a user out at once and end all their credentials.

    Raises `Problem` if no account has this address.
    """
    async with application(config_name), db.transaction() as session:
        await service.disable_user(session, await _user_id(session, email))


async def enable_user(email: str, config_name: str | None = None) -> None:
    """Let a disabled user log in again. Raises `Problem` if no account has this address."""
    async with application(config_name), db.transaction() as session:
        await service.enable_user(session, await _user_id(session, email))


async def _user_id(session: AsyncSession, email: str) -> int:
    user = await service.find_user(session, email)
    if user is None:
        raise Problem(f"No account has the address {email!r}.")
    return user.id


def valid_address(value: str) -> EmailAddress:
    """Return an email address in its normal form. Raises `Problem` if it is invalid."""
    try:
        return email_address(value)
    except ValueError as error:
        raise Problem(f"{value!r} is {error}.") from None


@click.command()
@click.pass_obj
def setup_dev_command(config_name: str) -> None:
    """Migrate the database, and create roles and the first administrator."""
    asyncio.run(setup_dev(config_name))
    click.echo("The database is up to date and has its roles and an administrator.")


@click.command()
@click.pass_obj
def setup_prod_command(config_name: str) -> None:
    """Set up production: migrate, create roles and the first administrator.

    The administrator needs ADMIN_EMAIL and an ADMIN_PASSWORD that is hard to guess.
    """
    asyncio.run(setup_prod(config_name))
    click.echo("The database is up to date and has its roles and an administrator.")


@click.command()
@click.argument("email")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin instead of asking for it."
)
@click.pass_obj
def create_admin_command(config_name: str, email: str, password_stdin: bool) -> None:
    """Create an administrator, or promote a user to one.

    An existing account gets the role and this password, and its sessions end.
    """
    valid_address(email)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    is_new = asyncio.run(create_admin(email, password, config_name))
    click.echo(f"{email} is {'a new' if is_new else 'now an'} administrator.")


@click.command()
@click.argument("email")
@click.pass_obj
def disable_user_command(config_name: str, email: str) -> None:
    """Shut a user out: they can no longer log in.

    Their sessions, API tokens, known devices and mailed links end at once and for good.
    """
    asyncio.run(disable_user(email, config_name))
    click.echo(f"{email} is shut out. To undo it, run: python manage.py enable-user {email}")


@click.command()
@click.argument("email")
@click.pass_obj
def enable_user_command(config_name: str, email: str) -> None:
    """Let a disabled user log in again.

    What ended when they were disabled does not come back.
    """
    asyncio.run(enable_user(email, config_name))
    click.echo(f"{email} can log in again.")
