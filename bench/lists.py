"""What lists cost when they grow: people and the trail, with 10^3 and with 10^6 of each."""

import asyncio
import importlib
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import click
from quart import Quart
from sqlalchemy import Select, false, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import people
from app.accounts.people_schemas import PeopleQuery
from app.auth.models import User
from app.database import db
from app.factory import create_app
from app.keyset import ListQuery, Order, Page, Stage, begins_with, load
from app.trail import Entry
from bench.growth import ROW, filled
from bench.site import MEASURED, site

# By name, since a product may have removed the feature; this benchmark needs it.
AUDIT, AUDIT_SCHEMAS = "app.audit.service", "app.audit.schemas"

BATCH = 20  # readings of one list in a row, or
ENOUGH = 0.5  # seconds of them

# States as `add-fake-data` has them. An eighth of the names begins with "a", and each hundredth is
# Nina. Each second entry is a log-in; the first account did each hundredth of the others.
FILL = """
INSERT INTO users (email, first_name, last_name, name_key, given_name_key, password_hash, role_id,
                   confirmed, disabled_at, created_at)
SELECT first || '.' || last || n || '@example.com', initcap(first), initcap(last),
       last || ' ' || first, first || ' ' || last, CASE WHEN n % 20 <> 6 THEN 'x' END,
       (SELECT id FROM roles WHERE "default"), n % 20 NOT IN (3, 6, 13),
       CASE WHEN n % 20 = 9 THEN now() END, now() - ({number} - n) * interval '1 minute'
FROM generate_series(1, {number}) n,
     LATERAL (SELECT translate(md5('first' || n % 2003), '0123456789', 'aeioulnrst') f,
                     translate(md5('last' || n % 50021), '0123456789', 'aeioulnrst') l) letters,
     LATERAL (SELECT CASE WHEN n % 100 = 0 THEN 'nina' ELSE left(f, 6) END first,
                     left(l, 8) last) names;
INSERT INTO trail (at, act, actor_kind, actor_id, subject_kind, subject_id, changes,
                   actor_details, subject_details)
SELECT created_at, CASE WHEN id % 2 = 0 THEN 'user.registered' ELSE 'session.started' END, 'user',
       CASE WHEN id % 100 = 0 THEN 1 ELSE id END, 'user', id, '{{}}', '{{"ip": "192.0.2.1"}}',
       json_build_object('name', first_name || ' ' || last_name, 'email', email)
FROM users ORDER BY users.id;
"""

# Passes over everybody who was listed on the pages before, since their addresses are found too.
LAST_STAGE = "search for an eighth, after its last row"

Read = Callable[[AsyncSession], Awaitable[Page[Any]]]


@dataclass
class Installation:
    """An application, and cursors deep in its lists."""

    app: Quart
    number: int
    cursors: dict[str, str | None] = field(default_factory=dict)


@click.command()
@click.option("--small", default=1_000, show_default=True)
@click.option("--large", default=1_000_000, show_default=True)
@click.option("--rounds", default=15, show_default=True)
def lists(small: int, large: int, rounds: int) -> None:
    """Compare lists of many rows with those of few, in the same rounds."""
    with site() as made:
        environments = [made.env | filled(made, number, FILL) for number in (small, large)]
        os.sched_setaffinity(0, MEASURED)
        asyncio.run(_compare(environments, (small, large), rounds))


async def _compare(
    environments: list[dict[str, str]], numbers: tuple[int, int], rounds: int
) -> None:
    installations = []
    for environment, number in zip(environments, numbers, strict=True):
        os.environ.update(environment)
        app = create_app("production")
        await app.startup()
        installations.append(Installation(app, number))
        async with app.app_context(), db.session() as session:
            installations[-1].cursors = await _cursors(session, number)
    few, many = (f"{number:,}" for number in numbers)
    click.echo(ROW.format("µs for each page", few, many, "ratio", "goal"))
    for label in _reads(installations[0]):
        times: list[list[float]] = [[], []]
        for number in range(rounds + 1):
            for index, installation in enumerate(installations):
                async with installation.app.app_context():
                    taken = await _time(_reads(installation)[label])
                if number:  # the first one warms up
                    times[index].append(taken)
        ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
        figures = [f"{statistics.median(each):,.0f}" for each in times]
        goal = "" if label == LAST_STAGE else "≤ 1.3"
        click.echo(ROW.format(label, *figures, f"{ratio:.2f}", goal))
    for installation in installations:
        async with installation.app.app_context():
            await installation.app.shutdown()


async def _time(read: Read) -> float:
    """Return the microseconds of one reading: the quickest of a batch, which nothing disturbed."""
    taken: list[float] = []
    while len(taken) < BATCH and sum(taken) < ENOUGH:
        started = time.perf_counter()
        async with db.session() as session:
            await read(session)
        taken.append(time.perf_counter() - started)
    return min(taken) * 1e6


def _reads(of: Installation) -> dict[str, Read]:
    """Return what is read, with words for it."""

    def listed(**wanted: Any) -> Read:
        return lambda session: people.list_people(session, PeopleQuery(**wanted))

    audit = importlib.import_module(AUDIT)
    query = importlib.import_module(AUDIT_SCHEMAS).TrailQuery

    def trail(**wanted: Any) -> Read:
        return lambda session: audit.search(session, query(**wanted))

    unconfirmed = {"role": "User", "state": "unconfirmed"}
    busiest = {"person": 1, "limit": 10}
    return {
        "people: first page": listed(),
        "sorted by name": listed(sort="name"),
        "in the middle": listed(cursor=of.cursors["people"]),
        "in the middle, by name": listed(cursor=of.cursors["name"], sort="name"),
        "last page, by name": listed(cursor=of.cursors["last"], sort="name"),
        "search that finds an eighth": listed(q="a"),
        "search for a frequent first name": listed(q="nina", limit=10),
        "search that finds nobody": listed(q="zzz"),
        LAST_STAGE: listed(q="a", cursor=of.cursors["search"]),
        "role": listed(role="User"),
        "state": listed(state="unconfirmed"),
        "role and state": listed(**unconfirmed),
        "role and state that nobody has": listed(role="Administrator", state="invited"),
        "role and state, by name": listed(**unconfirmed, sort="name"),
        "search with role and state": listed(**unconfirmed, q="a", limit=10),
        "search, and a role that nobody has": listed(q="a", role="Administrator", state="invited"),
        "trail: first page": trail(),
        "in the middle of the trail": trail(cursor=of.cursors["trail"]),
        "of one person": trail(person=of.number // 2),
        "of the busiest person": trail(**busiest),
        "of one act": trail(act="session.started"),
        "of an act that nobody did": trail(act="role.deleted"),
        "of the busiest person and an act": trail(**busiest, act="user.registered"),
        "of the busiest person, a rare act": trail(**busiest, act="session.started"),
    }


async def _cursors(session: AsyncSession, number: int) -> dict[str, str | None]:
    """Return cursors deep in the lists: of lists that begin there."""
    half, name, nobody = number // 2, Stage(Order(people.NAME)), [(false(),)]
    by_id, newest = Stage(people.ORDERS["-created"]), Stage(importlib.import_module(AUDIT).NEWEST)
    stages = (Stage(Order(people.EMAIL), nobody), name, Stage(Order(people.GIVEN_NAME)))
    keys = select(User.name_key).order_by(User.name_key.desc()).limit(1)
    # Who is found by last name alone; after them come those who are found by first name alone.
    found = (begins_with(User.name_key, "a"), ~begins_with(User.email, "a"))

    async def cursor(query: Select[Any], *stages: Stage) -> str | None:
        return (await load(session, query, stages, ListQuery(limit=1))).next

    async def by_name(keys: Select[str], *stages: Stage) -> str | None:
        key = (await session.execute(keys)).scalar_one()
        return await cursor(select(User).where(User.name_key >= key), *stages)

    return {
        "people": await cursor(select(User).where(User.id <= half), by_id),
        "name": await by_name(keys.offset(half), name),
        "last": await by_name(keys.offset(20), name),
        "trail": await cursor(select(Entry).where(Entry.id <= half), newest),
        "search": await by_name(keys.where(*found), *stages),
    }
