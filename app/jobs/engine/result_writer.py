"""Writing claims and outcomes of jobs, many in one transaction."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.away import is_away
from app.database import Database
from app.jobs.context import Key
from app.jobs.engine import leases

logger = logging.getLogger("app.jobs")

LINGER = 0.02  # seconds that a batch waits for company
RETRY_DELAY = 0.5  # seconds before a server that is away is tried again

Write = Callable[[AsyncConnection], Awaitable[object]]


class ResultWriter:
    """Batches claims and outcomes, and retries them for as long as the database is away.

    One transaction for each would cost several times as much, on SQLite most of all. So a batch is
    held back a little, until it has as many entries as `worthwhile` says.
    """

    def __init__(self, database: Database, worthwhile: Callable[[], int]) -> None:
        self._database = database
        self._worthwhile = worthwhile
        self._claims: dict[Key, asyncio.Future[Any]] = {}
        self._done: dict[Key, asyncio.Future[Any]] = {}
        self._others: dict[Write, asyncio.Future[Any]] = {}
        self._wanted = asyncio.Event()
        self._enough = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def claim(self, key: Key) -> bool:
        """Claim a job before it runs; false if its lease was lost."""
        return bool(await self._add(self._claims, key))

    async def finish(self, key: Key) -> bool:
        """Record that a job is done; false if its lease was lost."""
        return bool(await self._add(self._done, key))

    async def release(self, keys: Sequence[Key]) -> set[Key]:
        """Release jobs that this worker will not finish, so that others may take them now; returns
        those whose lease was not lost.
        """
        if not keys:
            return set()
        released: set[Key] | None
        released = await self.write(lambda connection: leases.release(connection, keys))
        return released or set()

    async def write(self, write: Write) -> Any:
        """Have `write` called in the next batch; returns what it returned.

        It is called again if the batch has to be retried. Returns None if the database refuses what
        it writes.
        """
        return await self._add(self._others, write)

    async def flushed(self) -> None:
        """Wait until everything is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write batches, until cancelled."""
        while True:
            await self._wanted.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self._enough.wait()
            self._wanted.clear()
            self._enough.clear()
            batch = self._claims, self._done, self._others
            self._claims, self._done, self._others = {}, {}, {}
            while not await self._commit(*batch):  # noqa: ASYNC110  (nothing tells when a database is back)
                await asyncio.sleep(RETRY_DELAY)
            if not self._wanted.is_set():
                self._idle.set()

    def _add(
        self, entries: dict[Any, "asyncio.Future[Any]"], entry: object
    ) -> "asyncio.Future[Any]":
        entries[entry] = written = asyncio.get_running_loop().create_future()
        self._idle.clear()
        self._wanted.set()
        if len(self._claims) >= self._worthwhile():
            self._enough.set()
        return written

    async def _commit(
        self, claims: dict[Key, Any], done: dict[Key, Any], others: dict[Write, Any]
    ) -> bool:
        try:
            async with self._database.begin() as connection:
                # Claims come first: what is released may have been claimed in the same batch.
                claimed = await leases.claim(connection, claims) if claims else ()
                finished = await leases.finish(connection, done) if done else ()
                results: list[object] = [
                    *(key in claimed for key in claims),
                    *(key in finished for key in done),
                ]
                results += [await self._alone(connection, write) for write in others]
        except Exception as error:
            logger.error(
                "Outcomes of jobs cannot be written yet: %s: %s", type(error).__name__, error
            )
            return False
        for future, result in zip(
            [*claims.values(), *done.values(), *others.values()], results, strict=True
        ):
            if not future.done():  # its waiter may have been cancelled
                future.set_result(result)
        return True

    async def _alone(self, connection: AsyncConnection, write: Write) -> object:
        """Call `write` in a savepoint, so that what the database refuses fails no other entry.

        Raises if the database is away, for the whole batch to be retried; drops what it refuses.
        """
        try:
            async with connection.begin_nested():
                return await write(connection)
        except Exception as error:
            if not isinstance(error, DBAPIError) or is_away(error):
                raise
            logger.exception("The outcome of a job was refused by the database")
            return None
