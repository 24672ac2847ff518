"""Every command as a shell runs it: a fresh process in a clean clone, on an empty database and on a
full one.

Its effect is read back from the database, bypassing the application. `lint`, `test` and `format`
check code rather than a database: `.ci/run` runs them in a clean clone.
"""

import http.cookiejar
import json
import os
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import pytest

from app.commands.database import db_group
from app.environment import PROJECT_ROOT
from app.jobs.commands import jobs_group
from manage import COMMANDS
from tests.clones import EMPTY, Clone
from tests.conftest import create_database
from tests.faults.serving import Serve, left_after

pytestmark = [pytest.mark.faults, pytest.mark.waits]

Test = TypeVar("Test", bound=Callable[..., Any])

SET_UP = EMPTY | {"roles": 2, "users": 1, "trail": 3}
FILLED = SET_UP | {"users": 4, "trail": 9}
FULL = FILLED | {"jobs": 1}
PRODUCTION = {
    "QUART_CONFIG": "production",
    "SECRET_KEY": "k" * 32,
    "BASE_URL": "https://a.example",
    "ADMIN_EMAIL": "boss@example.org",
    "ADMIN_PASSWORD": "seven purple herons",
}
OF_CODE = {"lint", "test", "format"}
ENQUEUE = """
from app.jobs.queue import enqueue
async with db.transaction() as session:
    print(await enqueue(session, "jobs.delete_finished"))
"""

tried: set[str] = set()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name the kind of database."""
    return str(request.param)


@pytest.fixture
async def empty(kind: str, tmp_path: Path, worker_number: int) -> Clone:
    """Make a clean clone on an empty database."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    if kind == "postgresql":
        url = await create_database(f"test_faults_{worker_number}")
    return Clone(tmp_path / "clone", url, os.environ["REDIS_URL"])


@pytest.fixture(scope="module")
async def filled(kind: str, tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> Clone:
    """Fill a database, once, with an administrator, three users and a job that waits."""
    folder = tmp_path_factory.mktemp("filled")
    url = f"sqlite:///{folder / 'test.sqlite3'}"
    if kind == "postgresql":
        url = await create_database(f"test_filled_{worker_number}")
    clone = Clone(folder / "clone", url, os.environ["REDIS_URL"])
    clone.does("setup-dev")
    clone.does("add-fake-data", "-n", "3")
    clone.does("shell", stdin=ENQUEUE)
    assert await clone.counts() == FULL
    return clone


@pytest.fixture
async def full(filled: Clone, kind: str, tmp_path: Path, worker_number: int) -> Clone:
    """Make a clean clone on a copy of the filled database."""
    url = f"sqlite:///{tmp_path / 'test.sqlite3'}"
    if kind == "postgresql":
        url = await create_database(f"test_faults_{worker_number}", f"test_filled_{worker_number}")
    else:
        for file in filled.folder.parent.glob("test.sqlite3*"):  # its write-ahead log as well
            shutil.copy(file, tmp_path)
    return Clone(tmp_path / "clone", url, os.environ["REDIS_URL"])


def command(*names: str) -> Callable[[Test], Test]:
    """Record which commands a test covers, for the sweep at the end."""
    tried.update(names)
    return lambda test: test


@command("recreate-db", "setup-dev", "add-fake-data")
async def test_the_first_commands_that_people_type_on_nothing_and_on_what_is_there(
    empty: Clone,
) -> None:
    for _ in range(2):
        empty.does("recreate-db")
        assert await empty.counts() == EMPTY
        empty.does("setup-dev")
        empty.does("setup-dev")
        assert await empty.counts() == SET_UP
        assert "Added 3 users" in empty.does("add-fake-data", "-n", "3")
        assert await empty.counts() == FILLED
        await serves_and_lets_the_administrator_in(empty)


@command("serve")
async def test_serve_fills_an_empty_database(empty: Clone) -> None:
    await serves_and_lets_the_administrator_in(empty)
    counted = await empty.counts()
    assert (counted["roles"], counted["users"]) == (2, 1)


@command("serve")
async def test_serve_leaves_people_as_they_are(full: Clone) -> None:
    await serves_and_lets_the_administrator_in(full)
    assert (await full.counts())["users"] == FULL["users"]


async def serves_and_lets_the_administrator_in(clone: Clone) -> None:
    database, redis = clone.env["DATABASE_URL"], clone.env["REDIS_URL"]
    run = Serve(
        clone.folder, "serve", "--port", "0", DATABASE_URL=database, REDIS_URL=redis
    ).started()
    family = run.family()
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )
    who = urllib.parse.urlencode({"email": "admin@example.com", "password": "password"}).encode()
    with browser.open(f"http://localhost:{run.port}/account/login", who, timeout=20) as page:
        assert "<h1>Overview</h1>" in page.read().decode()
    assert run.end() == 0
    assert left_after(5, family) == []


@command("setup-prod")
async def test_setup_prod(empty: Clone) -> None:
    for _ in range(2):
        empty.does("setup-prod", **PRODUCTION)
        assert await empty.counts() == SET_UP


@command("setup-prod", "recreate-db", "add-fake-data")
async def test_production_keeps_what_is_there(full: Clone) -> None:
    full.does("setup-prod", **PRODUCTION)
    for refused in ("recreate-db", "add-fake-data", "setup-dev"):
        full.refuses(refused, **PRODUCTION)
    assert await full.counts() == FULL


@command("shell", "create-admin", "disable-user", "enable-user", "add-fake-data", "check")
@command("run-worker", "jobs list")
async def test_what_needs_tables_says_what_to_run_where_there_are_none(empty: Clone) -> None:
    for arguments in (
        ("create-admin", "new@example.com", "--password-stdin"),
        ("disable-user", "new@example.com"),
        ("enable-user", "new@example.com"),
        ("add-fake-data",),
        ("check",),
        ("run-worker", "--burst"),
        ("jobs", "list"),
    ):
        assert "setup-dev" in empty.refuses(*arguments, stdin="seven purple herons\n"), arguments
    assert "no such table" in empty.run(
        "shell", stdin="await session.execute(select(User))"
    ).stderr.replace('relation "users" does not exist', "no such table")
    assert await empty.tables() <= {"alembic_version"}


@command("shell", "create-admin", "routes", "openapi", "check")
async def test_commands_on_what_is_there(full: Clone) -> None:
    assert (
        full.does("shell", stdin="print(len((await session.execute(select(User))).all()))") == "4\n"
    )
    assert "a new administrator" in full.does(
        "create-admin", "new@example.com", "--password-stdin", stdin="seven purple herons\n"
    )
    assert "now an administrator" in full.does(
        "create-admin", "new@example.com", "--password-stdin", stdin="seven purple geese\n"
    )
    found = await full.query(
        "SELECT confirmed, roles.name FROM users JOIN roles ON roles.id = role_id WHERE email = "
        "'new@example.com'"
    )
    assert [(bool(confirmed), role) for confirmed, role in found] == [(True, "Administrator")]
    assert "/account/login" in full.does("routes")
    assert "/api/v1/account" in json.loads(full.does("openapi"))["paths"]
    assert "No worker is alive" in full.refuses("check")
    assert await full.counts() == FULL | {"users": 5, "trail": 11}


@command("run-worker", "jobs list", "jobs show", "jobs discard", "jobs retry", "jobs run")
async def test_jobs_on_what_is_there(full: Clone) -> None:
    identifier = full.does("jobs", "list").split()[0]
    assert "jobs.delete_finished" in full.does("jobs", "show", identifier)
    for arguments, state in (
        (("jobs", "discard", identifier), "discarded"),
        (("jobs", "retry", identifier), "waiting"),
        (("jobs", "run", identifier), "done"),
    ):
        full.does(*arguments)
        assert await full.query("SELECT state FROM jobs") == [(state,)]
    full.does("shell", stdin=ENQUEUE)
    full.does("run-worker", "--burst")
    assert await full.query("SELECT state FROM jobs") == [("done",), ("done",)]


@command(
    "db upgrade",
    "db check",
    "db current",
    "db heads",
    "db history",
    "db show",
    "db downgrade",
    "db stamp",
)
async def test_migrations_on_an_empty_database(empty: Clone) -> None:
    for shown in ("heads", "history", "show", "current"):
        empty.does("db", shown)
    assert "db upgrade" in empty.refuses("db", "check")
    empty.does("db", "upgrade")
    assert await empty.counts() == EMPTY
    assert "(head)" in empty.does("db", "current")
    empty.does("db", "check")
    empty.does("db", "downgrade", "base")
    assert await empty.counts() == {"alembic_version": 0}
    empty.does("db", "stamp")
    assert await empty.counts() == {"alembic_version": 1}


@command("db migrate", "db merge", "db upgrade", "db check", "db downgrade", "db stamp")
async def test_migrations_on_what_is_there(full: Clone) -> None:
    for arguments in (("upgrade",), ("check",), ("stamp",)):
        full.does("db", *arguments)
    assert "no migration is written" in full.refuses("db", "migrate", "-m", "Nothing")
    assert "nothing to merge" in full.refuses("db", "merge", "heads")
    assert await full.counts() == FULL
    await full.query("ALTER TABLE users ADD COLUMN surprise VARCHAR(9)")
    full.does("db", "migrate", "-m", "No surprise")
    [written] = full.folder.glob("alembic/versions/*no_surprise.py")
    source = written.read_text()
    assert "surprise" in source
    number = re.findall(r'revision = "(\w+)"', source)[0]
    other = source.replace(number, "other").split("def upgrade")[0]
    other += "def upgrade() -> None: ...\n\n\ndef downgrade() -> None: ...\n"
    written.with_name("another.py").write_text(other)
    assert "db merge heads" in full.refuses("db", "upgrade")
    full.does("db", "merge", "heads", "-m", "Both")
    full.does("db", "upgrade")
    full.does("db", "check")
    assert await full.counts() == FULL
    full.does("db", "downgrade", "base")
    assert await full.counts() == {"alembic_version": 0}
    assert not (PROJECT_ROOT / "alembic" / "versions" / written.name).exists()


def test_no_command_is_forgotten() -> None:
    groups: dict[str, click.Group] = {"db": db_group, "jobs": jobs_group}
    single = set(COMMANDS) - set(groups)
    nested = {f"{name} {command}" for name, group in groups.items() for command in group.commands}
    assert tried == (single | nested) - OF_CODE
