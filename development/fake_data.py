"""Plausible users for a development database."""

import asyncio

import click
from faker import Faker
from sqlalchemy import select

from app import application
from app.accounts import service
from app.auth.hashing import passwords
from app.auth.models import User
from app.config import DEFAULT_ADMIN_PASSWORD, refuse_production
from app.database import db
from app.environment import load_environment


async def add_fake_data(config_name: str | None = None, *, number_users: int = 10) -> int:
    """Add users with plausible names and addresses, and return how many were added.

    They log in from this machine with development's default password, and never are administrators.
    Refused in production.
    """
    load_environment()
    refuse_production("add-fake-data", config_name)
    async with application(config_name):
        fake = Faker()
        # One for all users, since hashing is slow on purpose.
        password_hash = await passwords.hash(DEFAULT_ADMIN_PASSWORD)
        async with db.transaction() as session:
            await service.insert_roles(session)
            taken = set((await session.execute(select(User.email))).scalars())
            for number in range(number_users):
                first, last = fake.first_name(), fake.last_name()
                email = new_email(fake, first, last, taken)
                confirmed = number % 5 != 4  # some have not confirmed their address yet
                session.add(
                    User(
                        email=email,
                        first_name=first,
                        last_name=last,
                        password_hash=password_hash,
                        confirmed=confirmed,
                    )
                )
        return number_users


def new_email(fake: Faker, first: str, last: str, taken: set[str]) -> str:
    """Return an unused address under example.com, which has no mailboxes."""
    name = f"{first}.{last}".lower().replace(" ", "").replace("'", "")
    email = f"{name}@example.com"
    while email in taken:
        email = f"{name}{fake.random_int(1, 99999)}@example.com"
    taken.add(email)
    return email


@click.command()
@click.option(
    "-n",
    "--number-users",
    default=10,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="How many users to add.",
)
@click.pass_obj
def add_fake_data_command(config_name: str, number_users: int) -> None:
    """Add plausible users to a development database."""
    added = asyncio.run(add_fake_data(config_name, number_users=number_users))
    click.echo(
        f"Added {added} users. They log in here with the password {DEFAULT_ADMIN_PASSWORD!r}."
    )
