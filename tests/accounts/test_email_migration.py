"""The migration to the normal form of addresses: what changes, and what stays."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from quart import Quart
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app import migrations
from app.config import Config
from app.database import create_engine, utcnow
from tests.conftest import MakeApp, settings_of_an_empty_database
from tests.factories.people import PASSWORD

BEFORE, AFTER = "8f0d3b62c7e5", "3d94e0c1b7a2"

# What is stored, and the address and the typed form that it becomes.
ACCOUNTS = {
    1: ("plain@example.com", "plain@example.com", None),
    2: ("idn@bücher.example", "idn@bücher.example", None),
    3: ("a@xn--bcher-kva.example", "a@bücher.example", None),
    4: ("jo\u0308rg@example.com", "jörg@example.com", None),
    5: ("twice@xn--bcher-kva.example", "twice@xn--bcher-kva.example", None),
    6: ("twice@bücher.example", "twice@bücher.example", None),
    7: ("zwei\u0308@example.com", "zwei\u0308@example.com", None),
    8: ("zwei\u0308@example.com.", "zwei\u0308@example.com.", None),
    9: ("no address", "no address", None),
    10: ("a@xn--zzzzzzzzzz99999.example", "a@xn--zzzzzzzzzz99999.example", None),
    11: ("i\u0307\u0327@example.com", "i\u0327\u0307@example.com", None),
}
CONFLICTS = {5, 6, 7, 8}


@pytest.fixture(params=["sqlite", "postgresql"])
async def old(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    worker_number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Config:
    """Return settings for a database as the release before had it."""
    name = f"test_email_migration_{worker_number}"
    settings = await settings_of_an_empty_database(request.param, name, tmp_path, monkeypatch)
    await migrations.run(settings, command.upgrade, BEFORE)
    return settings


@pytest.fixture
async def engine(old: Config) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(old, for_requests=False).execution_options(sqlite_writes=True)
    yield engine
    await engine.dispose()


async def fill(engine: AsyncEngine, password_hash: str) -> None:
    """Insert the accounts, and a link for each."""
    now = str(utcnow()) if engine.dialect.name == "sqlite" else utcnow()
    async with engine.begin() as connection:
        role = "INSERT INTO roles (id, name, \"index\", permissions) VALUES (1, 'a', 'b', 1)"
        await connection.execute(text(role))
        for number, (email, _, _) in ACCOUNTS.items():
            values = {"id": number, "email": email, "hash": password_hash, "now": now}
            await connection.execute(
                text(
                    "INSERT INTO users (id, email, first_name, last_name, password_hash, "
                    "confirmed, created_at, role_id) "
                    "VALUES (:id, :email, 'a', 'b', :hash, true, :now, 1)"
                ),
                values,
            )
            link = {**values, "digest": bytes([number]), "key": f"{number:032x}"}
            await connection.execute(
                text(
                    "INSERT INTO credentials (id, purpose, digest, user_id, email, created_at, "
                    "last_used_at, expires_at) "
                    "VALUES (:key, 'reset', :digest, :id, :email, :now, :now, :now)"
                ),
                link,
            )


async def stored(engine: AsyncEngine, table: str, key: str) -> dict[int, tuple[Any, ...]]:
    query = text(f"SELECT {key} AS key, email, email_as_typed FROM {table}")
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return {row.key: (row.email, row.email_as_typed) for row in rows}


@pytest.mark.faults
@pytest.mark.waits
async def test_addresses_become_normal_and_conflicts_stay_and_are_listed(
    old: Config, engine: AsyncEngine, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app: Quart = make_app()
    own = app.extensions["passwords"]
    await fill(engine, own._hasher.hash(PASSWORD))
    await migrations.run(old, command.upgrade, AFTER)
    expected = {number: new for number, (_, *new) in ACCOUNTS.items()}
    found = await stored(engine, "users", "id")
    assert found == {number: tuple(new) for number, new in expected.items()}
    links = await stored(engine, "credentials", "user_id")
    assert links == found, "a link is for the address of its account"
    listed = {record.args[0] for record in caplog.records if "Two accounts" in record.msg}  # type: ignore[index]
    assert listed == CONFLICTS
    await migrations.upgrade(old)
    for email, _, _ in ACCOUNTS.values():
        if "@" in email:
            body = {"email": email, "password": PASSWORD}
            answer = await app.test_client().post("/api/v1/session", json=body)
            assert answer.status_code == 201, email
    await migrations.run(old, command.downgrade, BEFORE)
    await migrations.run(old, command.upgrade, AFTER)
    assert await stored(engine, "users", "id") == found


async def test_the_release_before_can_go_on_beside_it(old: Config, engine: AsyncEngine) -> None:
    await migrations.run(old, command.upgrade, AFTER)
    await fill(engine, "x")  # which names none of the new columns
    assert len(await stored(engine, "users", "id")) == len(ACCOUNTS)
