"""The suite's floor: real servers, a database for each worker and backend, and an app on it.

Everything that asks for `app` (or for what stands on it) runs twice, on SQLite and on PostgreSQL.
"""

import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from redis import Redis as BlockingRedis
from sqlalchemy import make_url

from app import create_app, environment, migrations
from app.config import Config, load_settings
from app.database import Base, db
from app.limits import Limits
from app.redis import redis
from tests.factories.people import insert_roles
from tests.servers import Server, start_postgresql, start_valkey

MakeApp = Callable[[], Quart]

SERVERS: list[Server] = []


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers once, before the workers of pytest-xdist, which find them through the
    environment.
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
    folder = Path(tempfile.mkdtemp(prefix="quart-base-tests-"))
    folder.chmod(0o755)
    os.environ["TEST_FOLDER"] = str(folder)
    valkey, socket = start_valkey(folder)
    SERVERS.append(valkey)
    os.environ["TEST_VALKEY_SOCKET"] = socket
    if given:
        os.environ["TEST_POSTGRESQL"] = given
    else:
        postgresql, home = start_postgresql(folder)
        SERVERS.append(postgresql)
        os.environ["TEST_POSTGRESQL"] = f"postgresql://postgres@/test?host={home}"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop them, and leave nothing behind."""
    if SERVERS:
        for server in SERVERS:
            server.stop()
        SERVERS.clear()
        shutil.rmtree(os.environ["TEST_FOLDER"], ignore_errors=True)


def is_test_database(url: str) -> bool:
    """Whether a database may be emptied: its name says that it is for tests."""
    return (
        re.search(r"(?<![A-Za-z])tests?(?![A-Za-z])", Path(str(make_url(url).database)).name)
        is not None
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this worker's own."""
    return tmp_path_factory.mktemp("suite")


@pytest.fixture(scope="session")
def worker_number() -> int:
    """0, 1, 2 … of this worker of pytest-xdist."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])


@pytest.fixture(scope="session", autouse=True)
def variables(folder: Path, worker_number: int) -> None:
    """What the tests' configuration reads."""
    os.environ["INSTANCE_PATH"] = str(folder / "instance")
    os.environ["REDIS_URL"] = f"unix://{os.environ['TEST_VALKEY_SOCKET']}?db={worker_number}"
    os.environ["REDIS_TIMEOUT"] = (
        "2"  # on a busy machine an answer takes longer than a request would wait
    )
    os.environ["WORKER_LEASE"] = (
        "600"  # and a worker whose lease is in danger would end this process
    )


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
    """The name of the database's kind.

    Its address is in TEST_DATABASE_URL as long as this lives.
    """
    if request.param == "sqlite":
        os.environ["TEST_DATABASE_URL"] = f"sqlite:///{folder / 'test.sqlite3'}"
    else:
        base = make_url(os.environ["TEST_POSTGRESQL"]).database
        os.environ["TEST_DATABASE_URL"] = await create_database(f"{base}_{worker_number}")
    yield request.param
    del os.environ["TEST_DATABASE_URL"]


@pytest.fixture(scope="session")
async def app(backend: str) -> AsyncIterator[Quart]:
    """The application on a migrated database."""
    settings = load_settings("testing")
    assert is_test_database(settings.DATABASE_URL)
    await migrations.upgrade(settings)
    app = create_app("testing")
    await app.startup()
    yield app
    await app.shutdown()


@pytest.fixture(autouse=True)
def flush_counts(request: pytest.FixtureRequest) -> None:
    """A test of real processes begins with no counts of earlier ones in Redis."""
    if request.node.get_closest_marker("faults") or request.node.get_closest_marker("browser"):
        client = BlockingRedis.from_url(os.environ["REDIS_URL"])
        client.flushdb()
        client.close()


@pytest.fixture(autouse=True)
async def clean(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """For a test that uses the app.

    Its context, the roles, and an empty database and Redis afterwards.
    """
    if "app" not in request.fixturenames:
        yield
        return
    app: Quart = request.getfixturevalue("app")
    async with app.app_context():
        await insert_roles()
        yield
        async with db.transaction() as session:
            for table in reversed(Base.metadata.sorted_tables):
                await session.execute(table.delete())
        await redis.flushdb()
        app.extensions["limits"] = Limits(
            redis, app.config["REDIS_TIMEOUT"]
        )  # with no counts of its own


@pytest.fixture
async def make_app() -> AsyncIterator[MakeApp]:
    """Makes apps of the testing configuration as the environment stands, and closes them
    afterwards.
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
    """A browser without a session."""
    return app.test_client()


@pytest.fixture
def settings(app: Quart) -> Iterator[Config]:
    """The app's settings, to change for one test."""
    settings: Config = app.extensions["settings"]
    before = settings.model_copy()
    yield settings
    settings.__dict__.update(before.__dict__)
