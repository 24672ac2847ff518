"""Fixtures of the whole suite: servers, a database for each worker and backend, and an app on it.

A test that uses `app`, directly or through another fixture, runs on SQLite and on PostgreSQL.
"""

import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from redis import Redis as BlockingRedis
from sqlalchemy import URL, make_url, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import create_app, environment, migrations
from app.auth.models import Role
from app.config import Config, load_settings
from app.database import Base, db
from app.jobs.engine import ticks
from app.limits import Limits
from app.redis import redis
from development import postgresql
from tests import declared
from tests.factories.people import insert_roles
from tests.servers import Server, start_postgresql, start_valkey

MakeApp = Callable[[], Quart]

SERVERS: list[Server] = []
ROLES: dict[Quart, list[tuple[Any, ...]]] = {}  # as every test finds them in an app's database

# Tests that run on SQLite by default: folders whose subject hardly touches the database, and long
# stories of acts that shorter tests make on both.
ON_ONE_DATABASE = {
    "web",
    "mail",
    "patches",
    "site",
    "people",
    "test_beforehand",
    "test_links_alone",
    "test_names",
    "test_spellings",
    "test_words_in_mails",
}

PREFIX = b"qb-testing:"  # REDIS_PREFIX of the testing configuration


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers once, before the workers of pytest-xdist start.

    The workers find them through the environment.
    """
    if os.environ.get("PYTEST_XDIST_WORKER"):
        environment.FILES = ()
        return
    environment.load_environment()
    environment.FILES = ()
    given = os.environ.get("TEST_DATABASE_URL")
    for name in Config.model_fields:  # a developer's own settings are not the tests'
        os.environ.pop(name, None)
    for variable in (
        "DEV_DATABASE_URL",
        "TEST_DATABASE_URL",
        "REDISTOGO_URL",
        "QUART_CONFIG",
        "FLASK_CONFIG",
        "PORT",
    ):
        os.environ.pop(variable, None)
    if given and not is_test_database(given):
        database = make_url(given).database
        pytest.exit(
            f"TEST_DATABASE_URL names {database!r}. The tests delete everything: use a name with "
            "'test'.",
            4,
        )
    parent = Path(tempfile.gettempdir())
    if postgresql.database_user() and not postgresql.can_enter(parent):
        parent = Path("/tmp")
    folder = Path(tempfile.mkdtemp(prefix="quart-base-tests-", dir=parent))
    folder.chmod(0o755)
    # Commands run here; without this file they would read a developer's own beside manage.py.
    (folder / ".env").touch()
    os.environ["TEST_FOLDER"] = str(folder)
    if given:
        os.environ["TEST_POSTGRESQL"] = given
    else:
        server, home = start_postgresql(folder)
        SERVERS.append(server)
        url = URL.create("postgresql", "postgres", database="test", query={"host": home})
        os.environ["TEST_POSTGRESQL"] = url.render_as_string(hide_password=False)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the second database of tests on which it has no bearing to the continuous check."""
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        on_one = ON_ONE_DATABASE & {item.path.parent.name, item.path.stem}
        if params.get("backend") == "postgresql" and on_one:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.waits)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run one worker more than there are cores, since tests wait for processes and databases."""
    return (os.cpu_count() or 1) + 1


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers and delete their data."""
    if SERVERS:
        for server in SERVERS:
            server.stop()
        SERVERS.clear()
        shutil.rmtree(os.environ["TEST_FOLDER"], ignore_errors=True)


def is_test_database(url: str) -> bool:
    """Tell whether a database may be emptied: `test` is a word of its name."""
    return (
        re.search(r"(?<![A-Za-z])tests?(?![A-Za-z])", Path(str(make_url(url).database)).name)
        is not None
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of this worker's own."""
    return tmp_path_factory.mktemp("suite")


@pytest.fixture(scope="session")
def worker_number() -> int:
    """Return the number of this worker of pytest-xdist, from 0."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])


@pytest.fixture(scope="session")
def valkey(worker_number: int) -> Iterator[str]:
    """Start a Valkey server for this worker alone and return the path of its socket.

    The databases of one server would not do: its channels belong to all of them.
    """
    folder = Path(os.environ["TEST_FOLDER"], f"valkey-{worker_number}")
    folder.mkdir()
    server, socket = start_valkey(folder)
    yield socket
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def variables(folder: Path, valkey: str) -> None:
    """Set the variables that the testing configuration reads."""
    os.environ["INSTANCE_PATH"] = str(folder / "instance")
    os.environ["REDIS_URL"] = f"unix://{valkey}"
    # On a busy machine Redis answers later than a request would wait.
    os.environ["REDIS_TIMEOUT"] = "2"
    # A worker whose lease is about to expire would end this process.
    os.environ["WORKER_LEASE"] = "600"


@pytest.fixture(scope="session", autouse=True)
def no_ticks() -> Iterator[None]:
    """Keep workers in this process from the schedule: jobs that come at some minutes are noise."""

    async def enqueue_nothing(*_: object) -> None:
        pass

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ticks, "enqueue_due", enqueue_nothing)
        yield


async def create_database(name: str, template: str = "template1") -> str:
    """Create a PostgreSQL database, empty or as a copy of another one, and return its URL.

    One of that name is dropped first. Nobody may be connected to the template.
    """
    url = make_url(os.environ["TEST_POSTGRESQL"])
    query = {key: str(value) for key, value in url.query.items()}
    admin = await asyncpg.connect(
        host=query.get("host") or url.host,
        port=url.port,
        user=url.username,
        password=url.password,
        database="postgres",
    )
    try:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await admin.close()
    return url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
async def backend(
    request: pytest.FixtureRequest, folder: Path, worker_number: int
) -> AsyncIterator[str]:
    """Name the kind of database, with TEST_DATABASE_URL set to one of this worker's own."""
    if request.param == "sqlite":
        os.environ["TEST_DATABASE_URL"] = f"sqlite:///{folder / 'test.sqlite3'}"
    else:
        base = make_url(os.environ["TEST_POSTGRESQL"]).database
        os.environ["TEST_DATABASE_URL"] = await create_database(f"{base}_{worker_number}")
    yield request.param
    del os.environ["TEST_DATABASE_URL"]


@pytest.fixture(scope="session")
async def app(backend: str) -> AsyncIterator[Quart]:
    """Start the application on a migrated database."""
    settings = load_settings("testing")
    assert is_test_database(settings.DATABASE_URL)
    await migrations.upgrade(settings)
    app = create_app("testing")
    declared.watch(app)
    await app.startup()
    yield app
    await app.shutdown()


@pytest.fixture(autouse=True)
def flush_counts(request: pytest.FixtureRequest) -> None:
    """Delete the rate-limit counters of earlier tests before a test of real processes."""
    if request.node.get_closest_marker("faults") or request.node.get_closest_marker("browser"):
        client = BlockingRedis.from_url(os.environ["REDIS_URL"])
        client.flushdb()
        client.close()


@pytest.fixture(autouse=True)
async def clean(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Give a test that uses the app its context and the roles; delete everything after it."""
    if "app" not in request.fixturenames:
        yield
        return
    app: Quart = request.getfixturevalue("app")
    async with app.app_context():
        if app not in ROLES:
            await insert_roles()
            async with db.begin() as connection:
                ROLES[app] = await roles(connection)
        await redis.flushdb()  # tests of other processes leave keys of other installations
        yield
        async with db.begin() as connection:
            await delete_rows(connection, app)
        others = [key async for key in redis.scan_iter(count=1000) if not key.startswith(PREFIX)]
        await redis.flushdb()
        reset_limits(app)
        assert not others, "every key of the application begins with REDIS_PREFIX"


async def delete_rows(connection: AsyncConnection, app: Quart) -> None:
    """Empty every table, but leave the roles unless the test has changed them.

    It looks first what there is to do, in one query: this runs thousands of times.
    """
    tables = list(reversed(Base.metadata.sorted_tables))
    found = (await connection.execute(select(*(select(table).exists() for table in tables)))).one()
    changed = await roles(connection) != ROLES[app]
    for table, filled in zip(tables, found, strict=True):
        if filled and (changed or table is not Role.__table__):
            await connection.execute(table.delete())
    if changed:
        del ROLES[app]


async def roles(connection: AsyncConnection) -> list[tuple[Any, ...]]:
    """Return all roles."""
    table = Role.__table__
    return [tuple(row) for row in await connection.execute(select(table).order_by(table.c.id))]


async def settings_of_an_empty_database(
    backend: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Config:
    """Return settings for a new database of this kind, which is in the environment too."""
    url = f"sqlite:///{folder / 'test.sqlite3'}"
    if backend == "postgresql":
        url = await create_database(name)
    monkeypatch.setenv("TEST_DATABASE_URL", url)
    return load_settings("testing")


def reset_limits(app: Quart) -> None:
    """Give an app limits without local counters."""
    settings: Config = app.extensions["settings"]
    prefix = settings.redis_key("limits")
    app.extensions["limits"] = Limits(redis, prefix)


@pytest.fixture
async def make_app() -> AsyncIterator[MakeApp]:
    """Return a function that builds an app from the current environment; close the apps after
    the test.
    """
    made: list[Quart] = []

    def make() -> Quart:
        made.append(create_app("testing"))
        return made[-1]

    yield make
    for app in made:
        await app.startup()
        await app.shutdown()


@pytest.fixture
async def own_app(app: Quart) -> AsyncIterator[Quart]:
    """Build another application on the same database, for a test that adds routes to it."""
    own = create_app("testing")
    await own.startup()
    yield own
    await own.shutdown()


@pytest.fixture
def client(app: Quart) -> Browser:
    """Return a browser without a session."""
    return app.test_client()


@pytest.fixture
def settings(app: Quart) -> Iterator[Config]:
    """Return the app's settings; what a test changes is restored after it."""
    settings: Config = app.extensions["settings"]
    before = settings.model_copy()
    yield settings
    settings.__dict__.update(before.__dict__)
