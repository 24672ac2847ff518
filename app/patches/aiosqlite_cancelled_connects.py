"""aiosqlite 0.22: a connection is never closed if what waits for it to open is cancelled.

Its thread opens it all the same and gives it to a future that nobody reads. Python closes it when
it drops the object, and says so as a `ResourceWarning` from 3.13 on.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

import aiosqlite


def connect_sqlite(*args: Any, **options: Any) -> aiosqlite.Connection:
    """Return a connection that opens when it is awaited, with the arguments of `sqlite3`.

    Give this to SQLAlchemy as `async_creator_fn`.
    """
    given = aiosqlite.connect(*args, **options)
    connection = _Connection(given._connector, given._iter_chunk_size)
    connection._thread.daemon = True  # as SQLAlchemy has it for connections that it makes itself
    return connection


class _Connection(aiosqlite.Connection):
    """A connection whose thread closes what it has opened, whoever still knows of it."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], iter_chunk_size: int) -> None:
        opened: list[sqlite3.Connection] = []

        def remember() -> sqlite3.Connection:
            opened.append(connector())
            return opened[0]

        super().__init__(remember, iter_chunk_size)
        self._opened = opened

    def stop(self) -> asyncio.Future[Any] | None:
        """Have the thread close the connection, after all that it was given before, and end."""
        self._tx.put_nowait((None, partial(_close, self._opened)))
        return super().stop()


def _close(opened: list[sqlite3.Connection]) -> None:
    for connection in opened:
        connection.close()  # which does nothing for one that is closed already
