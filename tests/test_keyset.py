"""Lists in pages: nobody is left out, nobody comes twice, and an index finds what is searched."""

import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import roles
from app.accounts.people import ORDERS, list_people
from app.accounts.people_schemas import PeopleQuery
from app.auth.models import Credential, Purpose, User
from app.config import Config
from app.database import db, utcnow
from app.figures import DailyFigure
from app.keyset import BadCursor, ListQuery, Order, Page, Stage, begins_with, load
from app.trail import Entry
from app.validators.folding import name_keys
from tests.factories.people import log_in, make_person

Fetch = Callable[[AsyncSession, str | None], Awaitable[Page[Any]]]

NAMES = [("Robin", "Example"), ("Ana", "Example"), ("Robin", "Example"), ("Kim", "Ana")]
LAST = "\U0010ffff"  # of all characters
# The names that a list is sorted by, in several scripts and planes.
SCRIPTS = ["Zoë", "zoe", "Ærø", "Łukasz", "straße", "Ωμέγα", "Жанна", "דנה", "فاطمة", "नीला"]
SCRIPTS += ["山田", "𠮷田", "가람", "😀", "ﬁ", "\ue000", "Ａｎａ"]  # noqa: RUF001


async def add_people(
    names: Iterable[tuple[str, str]], *, role: str = roles.USER, **columns: Any
) -> None:
    """Insert people past the ORM, with an address for each."""
    async with db.transaction() as session:
        role_id = (await roles.role_of(session, role)).id
        rows = [
            {
                "email": f"{uuid4().hex}@example.com",
                "first_name": first,
                "last_name": last,
                "role_id": role_id,
                **columns,
            }
            for first, last in names
        ]
        connection = await session.connection()
        await connection.execute(insert(User), rows)


async def everybody() -> list[User]:
    async with db.session() as session:
        return list((await session.execute(select(User))).scalars())


async def walk(fetch: Fetch) -> list[Any]:
    """Return the rows of all pages, one page after another."""
    found: list[Any] = []
    cursor = None
    for _ in range(100):
        async with db.session() as session:
            page = await fetch(session, cursor)
        assert page.is_first is (cursor is None)
        found += page.items
        if page.next is None:
            return found
        assert len(page.next) <= 1000, "it is taken back"
        cursor = page.next
    raise AssertionError("The list has no end.")


def people(limit: int = 2, **wanted: Any) -> Fetch:
    return lambda session, cursor: list_people(
        session, PeopleQuery(cursor=cursor, limit=limit, **wanted)
    )


def rows_of(entity: Any, order: Order, limit: int = 2) -> Fetch:
    return lambda session, cursor: load(
        session, select(entity), [Stage(order)], ListQuery(cursor=cursor, limit=limit)
    )


def in_order(users: Iterable[User], sort: str) -> list[int]:
    """Return the ids as Python sorts them: by the numbers of characters."""
    columns = ORDERS[sort].columns
    ordered = sorted(users, key=lambda user: tuple(getattr(user, c.key) for c in columns))
    return [user.id for user in (reversed(ordered) if sort.startswith("-") else ordered)]


@pytest.mark.parametrize("sort", ORDERS)
async def test_the_pages_are_the_list_in_each_order(app: Quart, sort: str) -> None:
    await add_people(NAMES * 3)
    users = await everybody()
    for limit in (1, 3, 4, 12, 100):
        found = await walk(people(limit, sort=sort))
        assert [user.id for user in found] == in_order(users, sort), limit


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize(
    "wanted", [{"role": "User"}, {"state": "active"}, {"role": "User", "state": "disabled"}]
)
async def test_filters_leave_the_others_in_order(
    app: Quart, sort: str, wanted: dict[str, str]
) -> None:
    for role in (roles.USER, roles.ADMINISTRATOR):
        await add_people(NAMES, role=role, confirmed=True)
        await add_people(NAMES, role=role, disabled_at=utcnow())
    async with db.session() as session:
        ids = {role.name: role.id for role in await roles.list_roles(session)}
    chosen = [
        user
        for user in await everybody()
        if wanted.get("role") is None or user.role_id == ids[wanted["role"]]
        if wanted.get("state") in (None, user.state)
    ]
    assert len(chosen) in (4, 8)
    found = await walk(people(3, sort=sort, **wanted))
    assert [user.id for user in found] == in_order(chosen, sort)


@pytest.mark.parametrize("sort", ORDERS)
async def test_who_stays_comes_once_while_others_come_and_go(app: Quart, sort: str) -> None:
    await add_people(NAMES * 5)
    stay = {user.id for user in await everybody() if user.id % 3}
    found: list[int] = []

    async def fetch(session: AsyncSession, cursor: str | None) -> Page[Any]:
        page = await people(3, sort=sort)(session, cursor)
        found.extend(user.id for user in page.items)
        return page

    cursor = None
    for _ in range(100):
        async with db.session() as session:
            page = await fetch(session, cursor)
        async with db.transaction() as session:
            gone = [user.id for user in page.items if user.id not in stay]
            await session.execute(delete(User).where(User.id.in_(gone)))
        if len(found) < 15:
            await add_people([("Robin", "Example"), ("Ana", "Ana"), ("Zoe", "Zoe")])
        if (cursor := page.next) is None:
            break
    assert len(found) == len(set(found))
    assert stay <= set(found)


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
@pytest.mark.parametrize("wanted", [{}, {"state": "unconfirmed"}, {"role": "User"}])
async def test_a_search_finds_each_person_once(
    app: Quart, limit: int, wanted: dict[str, str]
) -> None:
    """By address first, then by last name, then by first name."""
    one = ("Robin", "Anatole")
    for email, name in (
        ("zed@example.com", ("Ana", "Example")),
        ("ana@example.com", ("Ana", "Ananas")),
        ("yan@example.com", ("Ana", "Anders")),
        ("van@example.com", one),
        ("anatole@example.com", one),
        ("uwe@example.com", ("Ban", "Cana")),
    ):
        await add_people([name], email=email, password_hash="x")
    for typed, expected in (
        ("ANA", ["ana", "anatole", "van", "yan", "zed"]),
        ("ÁNA", ["ana", "van", "anatole", "yan", "zed"]),  # no address begins with "á"
        ("robin a", ["van", "anatole"]),
        ("nobody", []),
    ):
        found = await walk(people(limit, q=typed, **wanted))
        assert [user.email.partition("@")[0] for user in found] == expected, typed


async def test_a_list_by_time_turns_its_pages(app: Quart) -> None:
    """Also where several rows have the very same one, to the microsecond."""
    start = datetime(2026, 1, 2, 23, 59, 59, 999_999, UTC)
    times = [start + timedelta(microseconds=number // 3) for number in range(12)]
    async with db.transaction() as session:
        session.add_all(Entry(at=at, act="test", actor_kind="command", changes={}) for at in times)
    for descending in (False, True):
        found = await walk(rows_of(Entry, Order((Entry.at, Entry.id), descending)))
        expected = sorted(((entry.at, entry.id) for entry in found), reverse=descending)
        assert [(entry.at, entry.id) for entry in found] == expected
        assert sorted(entry.at for entry in found) == times


async def test_a_list_by_uuid_turns_its_pages(app: Quart) -> None:
    await add_people([("Robin", "Example")])
    [user] = await everybody()
    async with db.transaction() as session:
        for number in range(7):
            session.add(
                Credential(
                    purpose=Purpose.TOKEN,
                    digest=bytes([number]),
                    user_id=user.id,
                    expires_at=utcnow(),
                )
            )
    found = await walk(rows_of(Credential, Order((Credential.user_id, Credential.id))))
    ids = [credential.id for credential in found]
    assert len(ids) == 7
    assert ids == sorted(set(ids))


async def test_a_list_by_day_turns_its_pages(app: Quart) -> None:
    days = [date(2026, 1, number) for number in range(1, 8)]
    async with db.transaction() as session:
        session.add_all(DailyFigure(name="test", day=day, number=1) for day in days)
    found = await walk(rows_of(DailyFigure, Order((DailyFigure.name, DailyFigure.day))))
    assert [figure.day for figure in found] == days


async def test_names_of_every_script_are_sorted_alike_on_both_databases(app: Quart) -> None:
    await add_people((name, name) for name in SCRIPTS)
    users = await everybody()
    found = await walk(people(3, sort="name"))
    assert [user.id for user in found] == in_order(users, "name")


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_name_is_found_by_what_it_begins_with(app: Quart, name: str) -> None:
    await add_people((each, "Example") for each in SCRIPTS)
    for typed in (name, f"  {name}\t", name.upper(), name[:1]):
        found = {user.first_name for user in await walk(people(q=typed))}
        assert name in found, typed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "ab",
        "%",
        "a%",
        "_",
        "a_",
        "\\",
        "'",
        "\x7f",
        "é",
        "\ud7ff",  # the last one before those that are none
        "\ue000",
        "\uffff",
        "\U00010000",
        "𠮷",
        LAST,
        f"a{LAST}",
        LAST * 2,
    ],
)
async def test_what_begins_with_a_text_is_found(app: Quart, text: str) -> None:
    """As Python's `startswith` has it, up to the last characters that there are."""
    beginnings = ["", "a", "b", "%", "_", "\\", "'", "\x7f", "\x80", "é", "ê", "\ud7ff", "\ue000"]
    beginnings += ["\uffff", "\U00010000", "\U00010001", "𠮷", "\U0010fffe", LAST, f"a{LAST}"]
    keys = [first + second for first in beginnings for second in ("", "a", "b", "_", LAST)]
    keys += [LAST * 3, f"a{LAST * 3}", "A"]
    for key in set(keys):
        await add_people([("Robin", "Example")], name_key=key)
    async with db.session() as session:
        condition = begins_with(User.name_key, text)
        found = (await session.execute(select(User.name_key).where(condition))).scalars().all()
        others = (await session.execute(select(User.name_key).where(~condition))).scalars().all()
    assert sorted(found) == sorted(key for key in set(keys) if key.startswith(text))
    assert len(found) + len(others) == len(set(keys))


async def test_wildcards_are_characters_like_others(app: Quart) -> None:
    await add_people([("100%", "Example"), ("1000", "Example"), ("a_b", "Example"), ("axb", "B")])
    for typed, expected in (("100%", "100%"), ("a_", "a_b"), ("%", None), ("_", None)):
        found = [user.first_name for user in await walk(people(q=typed))]
        assert found == [expected] * bool(expected), typed


@pytest.mark.parametrize("typed", ["", " ", "\u3000\t ", "\u0301"])
async def test_blanks_ask_nothing(app: Quart, typed: str) -> None:
    await add_people(NAMES)
    found = await walk(people(q=typed, sort="name"))
    assert [user.id for user in found] == in_order(await everybody(), "name")


async def test_what_is_longer_than_the_column_still_finds(app: Quart) -> None:
    """A ligature may fold to eighteen letters, so a key may be cut."""
    long = "\ufdfa" * 20
    await add_people([(long, "Example"), ("Robin", "Example")])
    assert len(name_keys(long, "Example")["given_name_key"]) == 150
    assert [user.first_name for user in await walk(people(q=long))] == [long]


async def test_the_longest_names_and_addresses_have_cursors(app: Quart) -> None:
    chance = random.Random(1)
    for number in range(4):
        name = "".join(chr(chance.randrange(0x20000, 0x2A000)) for _ in range(64))
        email = "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(250))
        await add_people([(name, name)], email=f"{number}{email}")
    for sort in ORDERS:
        assert len(await walk(people(1, sort=sort))) == 4


async def first_cursor(**wanted: Any) -> str:
    async with db.session() as session:
        page = await people(1, **wanted)(session, None)
    assert page.next
    return page.next


async def test_a_cursor_of_another_order_or_list_is_refused(app: Quart) -> None:
    await add_people(NAMES)
    cursors = {sort: await first_cursor(sort=sort) for sort in ORDERS}
    cursors["search"] = await first_cursor(q="e")
    for sort in ORDERS:
        for of, cursor in cursors.items():
            async with db.session() as session:
                if of == sort:
                    assert (await people(1, sort=sort)(session, cursor)).items
                    continue
                with pytest.raises(BadCursor, match="first page"):
                    await people(1, sort=sort)(session, cursor)
    async with db.session() as session:
        with pytest.raises(BadCursor):
            await rows_of(Entry, Order((Entry.id,)))(session, cursors["created"])


async def test_a_cursor_outlives_its_key_as_long_as_that_is_a_fallback(
    app: Quart, settings: Config
) -> None:
    await add_people(NAMES)
    cursor, former = await first_cursor(sort="name"), settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 32, [former]
    async with db.session() as session:
        assert (await people(1, sort="name")(session, cursor)).items
        settings.SECRET_KEY_FALLBACKS = []
        with pytest.raises(BadCursor):
            await people(1, sort="name")(session, cursor)


@pytest.fixture
async def boss(client: Browser) -> Browser:
    """Return the browser of an administrator."""
    await log_in(client, await make_person(role=roles.ADMINISTRATOR))
    return client


@pytest.mark.parametrize("path", ["/api/v1/users", "/admin/users"])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=1", 200),
        ("limit=100", 200),
        ("limit=0", 422),
        ("limit=101", 422),
        ("limit=-1", 422),
        ("limit=many", 422),
        ("q=%00", 400),  # NUL, and half of a surrogate pair
        ("q=%ED%A0%80", 200),
        ("q=" + "%F4%8F%BF%BF" * 254, 200),
        ("q=" + "a" * 255, 422),
        ("q=%25_%27%22%5C", 200),
        ("q=", 200),
        ("sort=password_hash", 422),
        ("state=gone", 422),
        ("cursor=", 200),
        ("cursor=forged", 400),
        ("cursor=W10.forged", 400),
        ("cursor=%F0%9F%98%80", 400),
        ("cursor=" + "a" * 1000, 400),
        ("cursor=" + "a" * 1001, 422),
    ],
)
async def test_what_is_asked_of_a_list_is_answered(
    boss: Browser, path: str, query: str, status: int
) -> None:
    response = await boss.get(f"{path}?{query}")
    assert response.status_code == status, await response.get_data(as_text=True)


async def test_a_forged_cursor_is_told_where_to_begin(boss: Browser) -> None:
    for path in ("/api/v1/users", "/admin/users"):
        response = await boss.get(f"{path}?cursor=forged")
        assert "Begin at the first page" in await response.get_data(as_text=True)
