"""Connections to SQLite whose opening is cancelled."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite

from app.config import Config
from app.database import create_engine
from app.patches.aiosqlite_cancelled_connects import connect_sqlite


class Opening:
    """Connections of SQLite that take until `go_on` is set to open, and say when they close."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.opened: list[sqlite3.Connection] = []
        self.closed = threading.Event()

    def connect(self, connect: Callable[..., Any], path: Path) -> aiosqlite.Connection:
        """Return what `connect` makes of a path."""
        connection: aiosqlite.Connection = connect(
            path, factory=partial(Slow, self), check_same_thread=False
        )
        return connection


class Slow(sqlite3.Connection):
    def __init__(self, opening: Opening, *args: Any, **options: Any) -> None:
        self.opening = opening
        opening.go_on.wait(5)
        super().__init__(*args, **options)
        opening.opened.append(self)

    def close(self) -> None:
        """Close the connection, and say so."""
        super().close()
        self.opening.closed.set()


async def open_and_cancel(connect: Callable[..., Any], path: Path) -> Opening:
    """Cancel what waits for a connection that opens after that; return what has become of it."""
    opening = Opening()
    connection = opening.connect(connect, path)
    waiting = asyncio.ensure_future(connection)
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    opening.go_on.set()
    await asyncio.to_thread(connection._thread.join, 5)
    assert len(opening.opened) == 1
    return opening


async def test_aiosqlite_still_leaves_it_open(tmp_path: Path) -> None:
    opening = await open_and_cancel(aiosqlite.connect, tmp_path / "test.sqlite3")
    assert not opening.closed.is_set()
    opening.opened[0].close()


async def test_what_opens_after_its_cancellation_is_closed(tmp_path: Path) -> None:
    opening = await open_and_cancel(connect_sqlite, tmp_path / "test.sqlite3")
    assert opening.closed.is_set()


async def test_what_is_used_is_closed_once_more_without_harm(tmp_path: Path) -> None:
    opening = Opening()
    opening.go_on.set()
    async with opening.connect(connect_sqlite, tmp_path / "test.sqlite3") as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
        assert not opening.closed.is_set()
    await asyncio.to_thread(connection._thread.join, 5)
    assert opening.closed.is_set()
    assert not connection._thread.is_alive()


async def test_engines_open_their_connections_so(tmp_path: Path, settings: Config) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}"
    engine = create_engine(settings.model_copy(update={"DATABASE_URL": url}))
    try:
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
        assert type(driver) is type(connect_sqlite(":memory:"))
        assert driver._thread.daemon
    finally:
        await engine.dispose()
