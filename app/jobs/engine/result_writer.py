"""Writing claims and outcomes of jobs, many in one transaction."""

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.away import is_away
from app.database import Database
from app.jobs.context import Key, Leased
from app.jobs.engine import leases
from app.jobs.engine.outages import Outage

logger = logging.getLogger("app.jobs")

LINGER = 0.02  # seconds that a batch waits for company
RETRY_DELAY = 0.5  # seconds before a server that is away, or a locked row, is tried again
MOST_REFUSALS = 20  # of one batch by a database that is there

Write = Callable[[AsyncConnection], Awaitable[object]]


class Locked(enum.Enum):
    """What a write returns whose row another transaction has locked."""

    LOCKED = enum.auto()


LOCKED = Locked.LOCKED
NOTHING = leases.Changed(set(), set())


def _outcome(changed: leases.Changed, key: Key) -> bool | Locked:
    return LOCKED if key in changed.locked else key in changed.done


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
        self._outage = Outage("Outcomes of jobs cannot be written yet")
        self._unwritten = 0  # entries that somebody waits for
        self._idle = asyncio.Event()
        self._idle.set()

    async def claim(self, key: Key) -> bool | Locked:
        """Claim a job before it runs; false if its lease was lost.

        Does not wait for a row that is locked: the slot may run another job.
        """
        claimed: bool | Locked = await self._until_unlocked(
            lambda: self._add(self._claims, key), patient=False
        )
        return claimed

    async def finish(self, key: Key) -> bool:
        """Record that a job is done; false if its lease was lost."""
        return bool(await self._until_unlocked(lambda: self._add(self._done, key)))

    async def fail(self, job: Leased, error: str, final: bool) -> bool | None:
        """Record that a job has failed; false if its lease was lost.

        Returns None if the database refuses what it failed with.
        """

        async def write(connection: AsyncConnection) -> bool | Locked:
            return _outcome(await leases.fail(connection, job, error, final), job.key)

        written: bool | None = await self._until_unlocked(lambda: self._add(self._others, write))
        return written

    async def release(self, keys: Sequence[Key]) -> bool:
        """Release jobs that this worker will not finish, so that others may take them now.

        Returns whether any of their leases was not lost.
        """
        left = set(keys)
        any_released = False

        async def write(connection: AsyncConnection) -> leases.Changed:
            return await leases.release(connection, left)

        with self._awaited():
            # What has been released is known when its transaction has committed.
            while left and (changed := await self._add(self._others, write)):
                any_released = any_released or bool(changed.done)
                if left := changed.locked:
                    await asyncio.sleep(RETRY_DELAY)
        return any_released

    async def flushed(self) -> None:
        """Wait until everything is written."""
        await self._idle.wait()

    async def _until_unlocked(
        self, add: Callable[[], "asyncio.Future[Any]"], *, patient: bool = True
    ) -> Any:
        """Have an entry written; if `patient`, again while another transaction locks its row.

        The others of its batch do not wait for it.
        """
        with self._awaited():
            while (written := await add()) is LOCKED and patient:  # noqa: ASYNC110  (nothing tells when a row is free)
                await asyncio.sleep(RETRY_DELAY)
        return written

    @contextmanager
    def _awaited(self) -> Iterator[None]:
        """Count as an entry that somebody waits for."""
        self._unwritten += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._unwritten -= 1
            if not self._unwritten:
                self._idle.set()

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
            refusals = 0
            while error := await self._commit(*batch):
                refusals += not is_away(error)
                if refusals > MOST_REFUSALS:
                    raise error  # and end this worker, which can record nothing
                await asyncio.sleep(RETRY_DELAY)

    def _add(
        self, entries: dict[Any, "asyncio.Future[Any]"], entry: object
    ) -> "asyncio.Future[Any]":
        entries[entry] = written = asyncio.get_running_loop().create_future()
        self._wanted.set()
        if len(self._claims) >= self._worthwhile():
            self._enough.set()
        return written

    async def _commit(
        self, claims: dict[Key, Any], done: dict[Key, Any], others: dict[Write, Any]
    ) -> Exception | None:
        """Write a batch in one transaction; returns what it failed with."""
        try:
            async with self._database.begin() as connection:
                # Claims come first: what is released may have been claimed in the same batch.
                claimed, finished = NOTHING, NOTHING
                if claims:
                    claimed = await leases.claim(connection, claims)
                if done:
                    finished = await leases.finish(connection, done)
                results: list[object] = [
                    *(_outcome(claimed, key) for key in claims),
                    *(_outcome(finished, key) for key in done),
                ]
                results += [await self._alone(connection, write) for write in others]
        except Exception as error:
            self._outage.goes_on(error)
            return error
        self._outage.is_over()
        for future, result in zip(
            [*claims.values(), *done.values(), *others.values()], results, strict=True
        ):
            if not future.done():  # its waiter may have been cancelled
                future.set_result(result)
        return None

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
