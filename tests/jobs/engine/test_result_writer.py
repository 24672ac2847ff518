"""Writing outcomes, many in one transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

import pytest
from quart import Quart
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import Database, db
from app.jobs.engine import leases, result_writer
from app.jobs.engine.result_writer import ResultWriter
from tests.jobs.conftest import jobs, put
from tests.jobs.engine.conftest import lease_one


async def test_one_outcome_that_cannot_be_written_holds_up_no_other(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ResultWriter(db, lambda: 1)
    running = asyncio.create_task(ledger.run())
    await put("tests.note")
    async with db.begin() as connection:
        [leased] = await leases.take(connection, "worker", 10)

    async def impossible(connection: Any, *_: object) -> None:
        await connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    monkeypatch.setattr(leases, "fail", impossible)
    async with asyncio.timeout(5):
        nothing, claimed = await asyncio.gather(
            ledger.fail(leased, "no luck", final=False), ledger.claim(leased.key)
        )
    assert (nothing, claimed) == (None, True)
    running.cancel()


async def test_a_worker_that_can_record_nothing_ends(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is there and refuses: a supervisor has to learn of it."""

    async def refuse(*_: object) -> None:
        raise ProgrammingError("", None, Exception("no such column"))

    monkeypatch.setattr(leases, "claim", refuse)
    monkeypatch.setattr(result_writer, "RETRY_DELAY", 0.01)
    writer = ResultWriter(db, lambda: 1)
    running = asyncio.create_task(writer.run())
    claiming = asyncio.create_task(writer.claim((uuid4(), 1)))
    with pytest.raises(ProgrammingError):
        async with asyncio.timeout(10):
            await running
    claiming.cancel()


async def test_what_a_failed_commit_has_not_released_is_released_by_the_next(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        """A database that fails at the first commit."""

        failed = False

        @asynccontextmanager
        async def begin(self) -> AsyncIterator[AsyncConnection]:
            async with db.begin() as connection:
                yield connection
                if not self.failed:
                    self.failed = True
                    raise OperationalError("", None, Exception("terminating connection"))

    monkeypatch.setattr(result_writer, "RETRY_DELAY", 0.01)
    writer = ResultWriter(cast(Database, Failing()), lambda: 1)
    running = asyncio.create_task(writer.run())
    job = await lease_one()
    async with db.begin() as connection:
        await leases.claim(connection, [job.key])
    async with asyncio.timeout(5):
        assert await writer.release([job.key])
        await writer.flushed()
    [released] = await jobs()
    assert (released.state, released.attempt, released.leased_until) == ("waiting", 0, None)
    running.cancel()
