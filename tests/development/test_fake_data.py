"""Fake users: plausible, complete, and never in anybody's way."""

import os
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from quart import Quart
from sqlalchemy import func, select

from app.accounts import roles
from app.auth.models import Permission, Role, User
from app.database import db, utcnow
from app.trail import Entry
from app.validators.folding import name_keys
from development import fake_data
from development.fake_data import add_fake_data
from tests.factories.people import make_person
from tests.processes import invoke


async def users() -> list[User]:
    async with db.session() as session:
        return list((await session.execute(select(User).order_by(User.id))).scalars())


async def test_ten_show_all_there_is(app: Quart) -> None:
    assert await add_fake_data("testing") == 10
    found = await users()
    states = Counter(user.state for user in found)
    assert states == {"active": 7, "unconfirmed": 1, "invited": 1, "disabled": 1}
    assert [user.password_hash is None for user in found] == [
        user.state == "invited" for user in found
    ]
    for user in found:
        keys = {"name_key": user.name_key, "given_name_key": user.given_name_key}
        assert keys == name_keys(user.first_name, user.last_name)
        assert user.email.endswith("@example.com")
        assert user.email.isascii()


async def test_they_came_over_the_last_years_and_in_the_last_days(app: Quart) -> None:
    await add_fake_data("testing", number_users=100)
    found, now = await users(), utcnow()
    ages = [now - user.created_at for user in found]
    assert ages == sorted(ages, reverse=True)
    assert timedelta(days=700) < ages[0] < timedelta(days=1100)
    assert timedelta(0) < ages[-1] < timedelta(days=1)
    assert 5 < sum(age < timedelta(days=30) for age in ages) < 30
    assert all(user.created_at < user.disabled_at < now for user in found if user.disabled_at)


async def test_none_of_them_is_an_administrator(app: Quart) -> None:
    async with db.transaction() as session:
        for role in await roles.list_roles(session):
            role.default = role.key == roles.ADMINISTRATOR
    await add_fake_data("testing")
    async with db.session() as session:
        query = select(Role.permissions, func.count()).join(User).group_by(Role.permissions)
        assert (await session.execute(query)).all() == [(Permission.GENERAL, 10)]


async def test_addresses_that_are_taken_are_left_to_their_owners(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_data, "_names", lambda: (["Robin"], ["Example"]))
    owner = await make_person()
    taken = [f"robin.example{owner.id + number}@example.com" for number in (3, 4, 5)]
    for email in taken:
        await make_person(email=email, first_name="Owner")
    for _ in range(2):
        assert await add_fake_data("testing", number_users=12) == 12
    found = await users()
    assert len(found) == 28
    assert {user.email for user in found if user.first_name == "Owner"} == set(taken)


async def test_each_has_entries_in_the_trail(app: Quart) -> None:
    await add_fake_data("testing", number_users=20)
    async with db.session() as session:
        entries = (await session.execute(select(Entry))).scalars().all()
    acts = Counter((entry.act, entry.actor_kind) for entry in entries)
    assert acts == {
        ("user.registered", "command"): 19,
        ("user.invited", "command"): 1,
        ("session.started", "user"): 17,
    }
    for user in await users():
        mine = [entry for entry in entries if entry.subject_id == str(user.id)]
        details = [entry.subject_details or {} for entry in mine]
        assert {each["email"] for each in details} == {user.email}
        assert all(user.created_at <= entry.at <= utcnow() for entry in mine)


async def test_what_is_stopped_keeps_whole_batches(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_data, "BATCH", 4)
    told: list[int] = []

    def report(added: int) -> bool:
        told.append(added)
        return added < 8

    assert await add_fake_data("testing", number_users=14, report=report) == 8
    assert told == [4, 8]
    assert len(await users()) == 8
    assert await add_fake_data("testing", number_users=6) == 6


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return the variables of a development installation that is set up."""
    variables = {
        "PATH": os.environ["PATH"],
        "DEV_DATABASE_URL": f"sqlite:///{tmp_path / 'test.sqlite3'}",
        "INSTANCE_PATH": str(tmp_path),
    }
    assert invoke("setup-dev", env=variables).returncode == 0
    return variables


def test_progress_is_lines_where_there_is_no_terminal(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_data, "BATCH", 2)
    process = invoke("add-fake-data", "-n", "40", env=env)
    assert process.stderr.splitlines() == [f"{number} of 40 users" for number in range(4, 41, 4)]
    assert process.stdout == "Added 40 users. They log in here with the password 'password'.\n"


def test_ctrl_c_keeps_who_was_added_and_says_so(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_data, "BATCH", 4)
    draw, handler = fake_data.People.draw, signal.getsignal(signal.SIGINT)

    def interrupted(people: fake_data.People, index: int, number: int) -> dict[str, object]:
        if index == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(people, index, number)

    monkeypatch.setattr(fake_data.People, "draw", interrupted)
    process = invoke("add-fake-data", "-n", "40", env=env)
    assert process.returncode == 130
    assert "Error: Stopped. Added 8 users of 40, who stay." in process.stderr
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("number", ["0", "-1", "10000001", "many"])
def test_an_impossible_number_is_refused_in_words(env: dict[str, str], number: str) -> None:
    process = invoke("add-fake-data", "-n", number, env=env)
    assert process.returncode == 2
    assert "1<=x<=10000000" in process.stderr or "not a valid integer" in process.stderr
