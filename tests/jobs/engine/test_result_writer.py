"""Writing outcomes, many in one transaction."""

import asyncio
from typing import Any

from quart import Quart
from sqlalchemy import text

from app.database import db
from app.jobs.engine import leases
from app.jobs.engine.result_writer import ResultWriter
from tests.jobs.conftest import put


async def test_one_outcome_that_cannot_be_written_holds_up_no_other(app: Quart) -> None:
    ledger = ResultWriter(db, lambda: 1)
    running = asyncio.create_task(ledger.run())
    await put("tests.note")
    async with db.begin() as connection:
        [leased] = await leases.take(connection, "worker", 10)

    async def impossible(connection: Any) -> None:
        await connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    async with asyncio.timeout(5):
        nothing, claimed = await asyncio.gather(ledger.write(impossible), ledger.claim(leased.key))
    assert (nothing, claimed) == (None, True)
    running.cancel()
