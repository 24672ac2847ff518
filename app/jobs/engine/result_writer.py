"""What is written about jobs while a worker runs them, many at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import Database, is_away
from app.jobs.context import Key
from app.jobs.engine import leases

logger = logging.getLogger("app.jobs")

LINGER = 0.005  # seconds
LINGERS = 4
PAUSE = 0.5  # seconds before a database that is away is tried again

Write = Callable[[AsyncConnection], Awaitable[object]]


class ResultWriter:
    """Writes starts and outcomes of jobs, all that have come together meanwhile in one transaction.

    A transaction for each costs a multiple, on SQLite most of all; so it waits a little until there
    are as many as are `worthwhile` at the moment. While the database is away it tries again.
    """

    def __init__(self, database: Database, worthwhile: Callable[[], int]) -> None:
        self._database = database
        self._worthwhile = worthwhile
        self._claims: dict[Key, asyncio.Future[Any]] = {}
        self._done: dict[Key, asyncio.Future[Any]] = {}
        self._others: dict[Write, asyncio.Future[Any]] = {}
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def claim(self, key: Key) -> bool:
        """Start a job; false if it is another worker's by now."""
        return bool(await self._add(self._claims, key))

    async def finish(self, key: Key) -> bool:
        """A job is done; false if it was another worker's by then."""
        return bool(await self._add(self._done, key))

    async def write(self, write: Write) -> Any:
        """Whatever else there is to write; returns what that returned."""
        return await self._add(self._others, write)

    async def flushed(self) -> None:
        """Return when everything is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write, until cancelled."""
        while True:
            await self._wanted.wait()
            for _ in range(LINGERS):
                if len(self._claims) + len(self._done) + len(self._others) >= self._worthwhile():
                    break
                await asyncio.sleep(LINGER)
            self._wanted.clear()
            batch = self._claims, self._done, self._others
            self._claims, self._done, self._others = {}, {}, {}
            while not await self._commit(*batch):  # noqa: ASYNC110  (nothing tells when a database is back)
                await asyncio.sleep(PAUSE)
            if not self._wanted.is_set():
                self._idle.set()

    def _add(
        self, entries: dict[Any, "asyncio.Future[Any]"], entry: object
    ) -> "asyncio.Future[Any]":
        entries[entry] = written = asyncio.get_running_loop().create_future()
        self._idle.clear()
        self._wanted.set()
        return written

    async def _commit(
        self, claims: dict[Key, Any], done: dict[Key, Any], others: dict[Write, Any]
    ) -> bool:
        try:
            async with self._database.begin() as connection:
                # What is released may have been claimed in the same batch, so claims come first.
                claimed = await leases.claim(connection, claims) if claims else ()
                finished = await leases.finish(connection, done) if done else ()
                results: list[object] = [
                    *(key in claimed for key in claims),
                    *(key in finished for key in done),
                ]
                results += [await self._alone(connection, write) for write in others]
        except Exception as error:
            logger.error(
                "What became of jobs cannot be written yet: %s: %s", type(error).__name__, error
            )
            return False
        for future, result in zip(
            [*claims.values(), *done.values(), *others.values()], results, strict=True
        ):
            if not future.done():  # whoever waited may have been cancelled
                future.set_result(result)
        return True

    async def _alone(self, connection: AsyncConnection, write: Write) -> object:
        """Write one thing without danger to the others.

        What the database will never take is dropped.
        """
        try:
            async with connection.begin_nested():
                return await write(connection)
        except Exception as error:
            if not isinstance(error, DBAPIError) or is_away(error):
                raise
            logger.exception("What became of a job cannot be written")
            return None
