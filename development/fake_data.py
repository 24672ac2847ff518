"""Plausible users for a development database, up to millions of them."""

import asyncio
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import click
from faker import Faker
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import application
from app.accounts import acts, roles
from app.auth import acts as auth_acts
from app.auth.hashing import passwords
from app.auth.models import User
from app.auth.states import AccountState
from app.config import DEFAULT_ADMIN_PASSWORD, refuse_production
from app.database import db, insert_into, utcnow
from app.environment import load_environment
from app.interruptions import until_interrupted
from app.trail import PERSON, Entry, Subject
from app.validators.folding import folded, name_keys

MOST = 10_000_000  # these take about an hour, and 15 GB of disk
BATCH = 5_000  # users of one transaction, which is what Ctrl-C waits for
STEPS = 10  # lines about the progress, where there is no terminal

# Faker takes a tenth of a millisecond for a name: so many are drawn once, and then combined.
LOCALES = ["en_US", "de_DE", "es_ES", "fr_FR", "pl_PL"]
DRAWN = 2_000

# The oldest account; the later, the more were made.
OLDEST = timedelta(days=3 * 365)

# What twenty users in a row are, so that ten show all there is.
STATES = [AccountState.ACTIVE] * 20
STATES[3] = STATES[13] = AccountState.UNCONFIRMED
STATES[6], STATES[9] = AccountState.INVITED, AccountState.DISABLED

PROVEN = (AccountState.ACTIVE, AccountState.DISABLED)  # whose addresses are confirmed

# Called with how many there are; the answer is whether to go on.
Report = Callable[[int], bool]


async def add_fake_data(
    config_name: str | None = None, *, number_users: int = 10, report: Report = lambda added: True
) -> int:
    """Add users with plausible names and addresses, and return how many were added.

    Those who are active log in from this machine with development's default password, and never
    are administrators. `report` is called after each batch. Refused in production.
    """
    load_environment()
    refuse_production("add-fake-data", config_name)
    async with application(config_name):
        # One for all users, since hashing is slow on purpose.
        people = People(await passwords.hash(DEFAULT_ADMIN_PASSWORD), number_users)
        async with db.transaction() as session:
            await roles.insert_roles(session)
            role_id = (await roles.role_of(session, roles.USER)).id
            number = (await session.execute(select(func.max(User.id)))).scalar_one() or 0
        added = 0
        while added < number_users:
            size = min(BATCH, number_users - added)
            rows = [people.draw(added + each, number + each + 1) for each in range(size)]
            number += size
            async with db.transaction() as session:
                added += await _insert(session, [row | {"role_id": role_id} for row in rows])
            if not report(added):
                break
        return added


async def _insert(session: AsyncSession, rows: list[dict[str, Any]]) -> int:
    """Insert users with their entries of the trail; returns how many had a free address."""
    connection = await session.connection()  # the session itself would insert one at a time
    free = insert_into(session, User).on_conflict_do_nothing()
    columns = (User.id, User.email, User.first_name, User.last_name, User.created_at, User.state)
    added = (await connection.execute(free.returning(*columns), rows)).all()
    if added:
        entries = [entry for user in added for entry in _entries(user)]
        await connection.execute(insert(Entry), entries)
    return len(added)


def _entries(user: Any) -> Iterator[dict[str, Any]]:
    """Yield how somebody came, and the log-in of those who can."""
    person = Subject(PERSON, user.id, f"{user.first_name} {user.last_name}", user.email)
    is_invited = user.state == AccountState.INVITED
    entry = {
        "at": user.created_at,
        "act": (acts.INVITED if is_invited else acts.REGISTERED).name,
        "actor_kind": "command",
        "actor_id": None,
        "via": "add-fake-data",
        "subject_kind": PERSON,
        "subject_id": str(user.id),
        "changes": {},
        "actor_details": None,
        "subject_details": person.details | {"changes": {}},
    }
    yield entry
    if user.state in PROVEN:
        yield entry | {
            "at": user.created_at + random.random() * (utcnow() - user.created_at),  # noqa: S311
            "act": auth_acts.LOGGED_IN.name,
            "actor_kind": "user",
            "actor_id": user.id,
            "via": None,
            "actor_details": person.details | {"ip": "192.0.2.1"},
        }


@dataclass(frozen=True)
class People:
    """Who is added: `number_users` of them, who have one password."""

    password_hash: str
    number_users: int

    def draw(self, index: int, number: int) -> dict[str, Any]:
        """Return the columns of one user. `number` makes the address theirs alone."""
        first_names, last_names = _names()
        first, last = random.choice(first_names), random.choice(last_names)  # noqa: S311
        state = STATES[index % len(STATES)]
        age = OLDEST * ((self.number_users - index - 0.5) / self.number_users) ** 2
        created_at = utcnow() - age
        return {
            "email": f"{_plain(first)}.{_plain(last)}{number}@example.com",
            "first_name": first,
            "last_name": last,
            **name_keys(first, last),
            "password_hash": None if state is AccountState.INVITED else self.password_hash,
            "confirmed": state in PROVEN,
            "created_at": created_at,
            "disabled_at": created_at + age / 2 if state is AccountState.DISABLED else None,
        }


@cache
def _names() -> tuple[Sequence[str], Sequence[str]]:
    # Frequent names are often among those that are drawn, as they are among people.
    fake = Faker(LOCALES)
    return (
        [fake.first_name() for _ in range(DRAWN)],
        [fake.last_name() for _ in range(DRAWN)],
    )


@cache
def _plain(name: str) -> str:
    """Return a name as part of an address under example.com, which has no mailboxes."""
    return re.sub("[^a-z]", "", folded(name)) or "somebody"


@click.command()
@click.option(
    "-n",
    "--number-users",
    default=10,
    show_default=True,
    type=click.IntRange(1, MOST),
    help=f"How many users to add, at most {MOST:,}.",
)
@click.pass_obj
def add_fake_data_command(config_name: str, number_users: int) -> None:
    """Add plausible users to a development database.

    A million take a few minutes. Ctrl-C ends it and keeps those who were added.
    """
    with until_interrupted() as go_on, _progress(number_users) as show:

        def report(added: int) -> bool:
            show(added)
            return go_on()

        added = asyncio.run(add_fake_data(config_name, number_users=number_users, report=report))
    words = f"They log in here with the password {DEFAULT_ADMIN_PASSWORD!r}."
    if added < number_users:
        raise KeyboardInterrupt(
            f"Stopped. Added {added} users of {number_users}, who stay. {words}"
        )
    click.echo(f"Added {added} users. {words}")


def _progress(length: int) -> AbstractContextManager[Callable[[int], None]]:
    return _bar(length) if sys.stderr.isatty() else _lines(length)


@contextmanager
def _bar(length: int) -> Iterator[Callable[[int], None]]:
    with click.progressbar(length=length, label="Adding users", file=sys.stderr) as bar:
        yield lambda added: bar.update(added - bar.pos)


@contextmanager
def _lines(length: int) -> Iterator[Callable[[int], None]]:
    step, said = max(length / STEPS, BATCH), 0.0

    def show(added: int) -> None:
        nonlocal said
        if added >= said + step:
            said = added
            click.echo(f"{added:,} of {length:,} users", err=True)

    yield show
