"""Commands and jobs that change something leave an entry, which says that they did it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select

import manage
from app import application
from app.accounts import service
from app.auth.models import User
from app.database import db
from app.jobs.models import Job
from app.jobs.queue import KINDS, enqueue
from app.trail import Entry
from tests.accounts.surfaces import REGISTER, REQUEST_RESET, Request
from tests.factories.people import PASSWORD, invite, make_person
from tests.jobs.conftest import run_burst
from tests.processes import invoke, variables
from tests.scenes import watching

EMAIL = "robin@example.com"

# Commands that leave no entry.
SILENT = {
    "serve": "answers requests",
    "shell": "does what its user types, by functions that record",
    "db": "changes the schema, which migrations are the history of",
    "recreate-db": "deletes everything, the trail as well",
    "add-fake-data": "is for development, and makes up a million people",
    "run-worker": "runs jobs",
    "jobs list": "looks",
    "jobs show": "looks",
    "routes": "looks",
    "openapi": "looks",
    "check": "looks",
    "test": "is for development",
    "lint": "is for development",
    "format": "is for development",
}
# Of each other command, what is played before and its arguments, what is typed, and its acts.
PLAYED: dict[str, tuple[list[str], str, set[str]]] = {
    "setup-dev": ([], "", {"role.created", "user.created"}),
    "setup-prod": ([], "", {"role.created", "user.created"}),
    "create-admin": ([EMAIL, "--password-stdin"], PASSWORD, {"user.created"}),
    "disable-user": (["admin@example.com"], "", {"user.disabled"}),
    "enable-user": (["admin@example.com"], "", {"user.enabled"}),
    "jobs retry": (["{job}"], "", {"job.retried"}),
    "jobs discard": (["{job}"], "", {"job.discarded"}),
    "jobs run": (["{job}"], "", {"job.run"}),
}
# Commands that are run before one, on a new database.
BEFORE = {"setup-dev": [], "setup-prod": [], "enable-user": ["setup-dev", "disable-user"]}


def names() -> set[str]:
    """Name every command, those of groups with their group."""
    found = set()
    for name in manage.COMMANDS:
        command = manage.cli.get_command(click.Context(manage.cli), name)
        if isinstance(command, click.Group) and name not in SILENT:
            found |= {f"{name} {each}" for each in command.commands}
        else:
            found.add(name)
    return found


def test_every_command_is_played_or_has_a_reason_not_to_be() -> None:
    assert names() == {*PLAYED, *SILENT}
    assert not PLAYED.keys() & SILENT.keys()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return the environment of an empty database."""
    return variables(
        DATABASE_URL=f"sqlite:///{tmp_path / 'test.sqlite3'}",
        INSTANCE_PATH=str(tmp_path / "instance"),
        ADMIN_EMAIL="admin@example.com",
        ADMIN_PASSWORD=PASSWORD,
    )


def rows(env: dict[str, str], query: str) -> list[Any]:
    """Query the database, bypassing the application."""
    with sqlite3.connect(env["DATABASE_URL"].removeprefix("sqlite:///")) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def play(env: dict[str, str], name: str) -> None:
    """Run a command, which succeeds."""
    arguments, typed, _ = PLAYED[name]
    if "{job}" in arguments:
        arguments = [job(env)]
    done = invoke(*name.split(), *arguments, env=env, stdin=typed or None)
    assert done.returncode == 0, done.stderr


def job(env: dict[str, str]) -> str:
    """Put a job into the database that waits; return its id."""
    columns = "id, name, args, state, due_at, lease, attempt, created_at"
    at, key = "2026-01-01 00:00:00.000000", UUID(int=7)
    values = f"'{key.hex}', 'jobs.delete_finished', '{{}}', 'waiting', '{at}', 0, 0, '{at}'"
    with sqlite3.connect(env["DATABASE_URL"].removeprefix("sqlite:///")) as connection:
        connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({values})")
    connection.close()
    return str(key)


@pytest.mark.parametrize("name", PLAYED)
def test_what_a_command_changes_is_in_the_trail(env: dict[str, str], name: str) -> None:
    for each in BEFORE.get(name, ["setup-dev"]):
        play(env, each)
    [[number]] = rows(env, "SELECT max(id) FROM trail") if BEFORE.get(name) != [] else [[0]]
    with watching() as committed:
        play(env, name)
    # Migrations write by themselves, before there is anything to tell of.
    unrecorded = [each.unrecorded for each in committed if each.unrecorded]
    left = [each for each in unrecorded if not by_the_engine(name, each)]
    assert left == []
    found = rows(env, f"SELECT act, actor_kind, via, actor_id FROM trail WHERE id > {number}")
    assert {act for act, *_ in found} == PLAYED[name][2]
    assert {tuple(who) for _, *who in found} == {("command", name, None)}
    text = str(rows(env, "SELECT * FROM trail"))
    assert PASSWORD not in text
    assert "argon2" not in text


def test_who_is_made_an_administrator_is_in_the_trail(env: dict[str, str]) -> None:
    play(env, "setup-dev")
    command = ("create-admin", "admin@example.com", "--password-stdin")
    assert invoke(*command, env=env, stdin="seven brass turnips whisper").returncode == 0
    newest = "SELECT act, actor_kind, via, subject_id FROM trail ORDER BY id DESC LIMIT 1"
    assert rows(env, newest) == [("user.promoted", "command", "create-admin", "1")]


def by_the_engine(name: str, statements: list[str]) -> bool:
    """Whether the engine of jobs wrote this, while it ran one."""
    return name == "jobs run" and all("jobs" in each.split()[:3] for each in statements)


def test_a_script_says_that_it_is_one(env: dict[str, str]) -> None:
    play(env, "setup-dev")

    async def script() -> None:
        async with application("development"), db.transaction() as session:
            found = (await session.execute(select(User))).scalar_one()
            await service.disable_user(session, found.id)

    with pytest.MonkeyPatch.context() as patch:
        for variable, value in env.items():
            patch.setenv(variable, value)
        asyncio.run(script())
    newest = rows(env, "SELECT act, actor_kind, via FROM trail ORDER BY id DESC LIMIT 1")
    assert newest == [("user.disabled", "command", "script")]


# Jobs that leave no entry.
QUIET = {
    "accounts.delete_expired_credentials": "deletes what has expired",
    "accounts.keep_sign_ups": "counts",
    "accounts.send_guessing_notice": "mails words, which change nothing",
    "accounts.send_taken": "mails words, which change nothing",
    "audit.end_retention": "deletes entries, which would be replaced by others",
    "jobs.delete_finished": "deletes what has ended",
    "jobs.keep_finished": "counts",
    "mail.delete_old": "deletes what was sent",
    "mail.send_notice": "mails words of an act that has an entry",
}


async def asks_to_register(client: Browser) -> None:
    fields = {"email": EMAIL, "password": PASSWORD, "first_name": "Robin", "last_name": "Example"}
    await send(client, REGISTER.request(fields, by_page=False))


async def asks_for_a_reset(client: Browser) -> None:
    person = await make_person()
    await send(client, REQUEST_RESET.request({"email": person.email}, by_page=False))


async def is_invited(client: Browser) -> None:
    await invite()


async def send(client: Browser, request: Request) -> None:
    answer = await client.open(request.path, method=request.method, json=request.fields)
    assert answer.status_code == 202


CAUSES: dict[str, Callable[[Browser], Awaitable[None]]] = {
    "accounts.send_link": is_invited,
    "accounts.send_password_reset": asks_for_a_reset,
    "accounts.send_registration": asks_to_register,
}


def of_features(names: Iterable[str], others: Iterable[str]) -> set[str]:
    """Return the jobs of features that have jobs among the others, too."""
    features = {name.partition(".")[0] for name in others}
    return {name for name in names if name.partition(".")[0] in features}


def test_every_job_is_played_or_has_a_reason_not_to_be(app: Quart) -> None:
    """A feature may have been removed, and one of a team's own has its own tests."""
    ours = {name for name, kind in KINDS.items() if kind.function.__module__.startswith("app.")}
    expected = {*CAUSES, *QUIET}
    assert of_features(ours, expected) == of_features(expected, ours)


@pytest.mark.parametrize("name", CAUSES)
async def test_a_job_that_mails_a_link_leaves_an_entry(
    app: Quart, client: Browser, name: str
) -> None:
    await CAUSES[name](client)
    with watching() as committed:
        await run_burst()
    unrecorded = [s for each in committed for s in each.unrecorded if "jobs" not in s.split()[:3]]
    assert unrecorded == []
    async with db.session() as session:
        mailed = select(Entry).where(Entry.act == "user.link_mailed")
        [entry] = (await session.execute(mailed)).scalars()
    assert (entry.actor_kind, entry.via, entry.actor_id) == ("job", name, None)
    assert entry.changes == {"purpose": [None, entry.changes["purpose"][1]]}


@pytest.mark.parametrize("name", sorted(QUIET))
async def test_a_job_without_an_entry_changes_nothing_of_people(app: Quart, name: str) -> None:
    """Whoever lets one of these change an account has to record it."""
    if name not in KINDS:  # its feature is removed
        return
    person = await make_person()
    arguments: dict[str, Any] = {"mail_id": str(UUID(int=1))} if "send" in name else {}
    async with db.transaction() as session:
        await enqueue(session, name, **arguments)
    with watching() as committed:
        await run_burst()
    written = {table for each in committed for _, table in each.writes}
    assert not written & {"users", "roles"}
    async with db.session() as session:
        assert (await session.get_one(User, person.id)).email == person.email
        jobs = (await session.execute(select(Job.state).where(Job.name == name))).scalars().all()
    assert set(jobs) == {"done"}
