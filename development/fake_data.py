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
    """Add users with names and addresses that look real; never administrators, never in production.

    They log in from this machine with development's default password. Returns how many were added.
    """
    load_environment()
    refuse_production("add-fake-data", config_name)
    async with application(config_name):
        fake = Faker()
        password_hash = await passwords.hash(
            DEFAULT_ADMIN_PASSWORD
        )  # one for all: hashing is slow on purpose
        async with db.transaction() as session:
            await service.insert_roles(session)
            role_id = (await service.role_named(session, service.USER)).id
            taken = set((await session.execute(select(User.email))).scalars())
            for number in range(number_users):
                first, last = fake.first_name(), fake.last_name()
                email = address(fake, first, last, taken)
                confirmed = number % 5 != 4  # some wait for their confirmation, as in life
                session.add(
                    User(
                        email=email,
                        first_name=first,
                        last_name=last,
                        password_hash=password_hash,
                        confirmed=confirmed,
                        role_id=role_id,
                    )
                )
        return number_users


def address(fake: Faker, first: str, last: str, taken: set[str]) -> str:
    """An address that nobody has yet, under a domain that can have no mailbox."""
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
    help="How many.",
)
@click.pass_obj
def add_fake_data_command(config_name: str, number_users: int) -> None:
    """Add plausible users to a development database."""
    added = asyncio.run(add_fake_data(config_name, number_users=number_users))
    click.echo(
        f"Added {added} users. They log in here with the password {DEFAULT_ADMIN_PASSWORD!r}."
    )
