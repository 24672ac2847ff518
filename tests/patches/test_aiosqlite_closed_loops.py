"""Connections to SQLite that are abandoned while they open."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import aiosqlite
import pytest

from app.patches.aiosqlite_closed_loops import let_threads_end_in_silence


def abandon(path: Path) -> None:
    """Open a connection that takes longer than the event loop lives."""
    go_on = threading.Event()
    # Closed below, in another thread than it is opened.
    connection = aiosqlite.connect(path, check_same_thread=False)
    connect = connection._connector
    opened: list[sqlite3.Connection] = []

    def connector() -> object:
        go_on.wait()
        opened.append(connect())
        return opened[0]

    connection._connector = connector  # type: ignore[assignment]

    async def cancelled() -> None:
        opening = asyncio.ensure_future(connection)
        await asyncio.sleep(0.01)
        opening.cancel()

    asyncio.run(cancelled())
    go_on.set()
    connection._thread.join(5)
    assert not connection._thread.is_alive()
    opened[0].close()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what threads print when they end."""
    shown: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(str(args.exc_value)))
    return shown


def test_aiosqlite_still_complains(shown: list[str], tmp_path: Path) -> None:
    abandon(tmp_path / "test.sqlite3")
    assert shown == ["Event loop is closed"]


def test_abandoned_connections_end_in_silence(shown: list[str], tmp_path: Path) -> None:
    let_threads_end_in_silence()
    abandon(tmp_path / "test.sqlite3")
    assert shown == []


def test_other_threads_are_heard(shown: list[str]) -> None:
    def fail() -> None:
        raise RuntimeError("Event loop is closed")

    let_threads_end_in_silence()
    thread = threading.Thread(target=fail, name="another")
    thread.start()
    thread.join()
    assert shown == ["Event loop is closed"]
