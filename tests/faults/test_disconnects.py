"""Clients that disconnect at any moment: all or nothing is stored, no connection stays in use."""

import asyncio
import contextlib
import json
import random
import sqlite3
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from tests.faults.conftest import ADMINISTRATOR
from tests.processes import NO_LIMITS, Served, get, served

pytestmark = pytest.mark.faults

ATTEMPTS = 120


async def log_in_and_leave(server: Served, delay: float) -> None:
    """Send a log-in, and close the connection after a delay, answered or not."""
    body = json.dumps(ADMINISTRATOR).encode()
    head = (
        f"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head.encode() + body)
        await writer.drain()
        await asyncio.sleep(delay)
        writer.transport.abort()


async def pool_in_use(url: str) -> int:
    """Count the application's connections that are in a transaction, as PostgreSQL sees them."""
    parts = make_url(url)
    connection = await asyncpg.connect(
        host=parts.query["host"], user=parts.username, database=parts.database
    )
    try:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'quart-base' AND "
            "state <> 'idle'"
        )
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def test_whoever_leaves_takes_no_connection_along(
    deployment: dict[str, str], tmp_path: Path
) -> None:
    env = deployment | NO_LIMITS | {"DATABASE_POOL_SIZE": "3", "DATABASE_POOL_TIMEOUT": "1"}
    with served(env, tmp_path / "server.log") as server:
        delays = [random.uniform(0, 0.12) for _ in range(ATTEMPTS)]
        for start in range(0, ATTEMPTS, 6):
            await asyncio.gather(
                *(log_in_and_leave(server, delay) for delay in delays[start : start + 6])
            )
        await asyncio.sleep(0.5)
        log = (tmp_path / "server.log").read_text()
        statuses = [
            json.loads(line)["status"] for line in log.splitlines() if '"/api/v1/session"' in line
        ]
        assert 0 in statuses, "some were gone before there was an answer"
        assert 201 in statuses, "some were not"
        # If clients that left had kept their connections, none of the three would be free now.
        for _ in range(6):
            status, body = await asyncio.to_thread(get, f"{server.url}/readyz")
            assert (status, json.loads(body)["components"][0]["state"]) == (200, "ok"), log[-3000:]
        if "postgresql" in env["DATABASE_URL"]:
            assert await pool_in_use(env["DATABASE_URL"]) == 0
        else:
            # Nobody holds the write lock.
            database = sqlite3.connect(
                str(make_url(env["DATABASE_URL"]).database), timeout=1, isolation_level=None
            )
            database.execute("BEGIN IMMEDIATE")
            whole = database.execute(
                "SELECT count(*) FROM credentials WHERE digest IS NULL OR user_id IS NULL"
            ).fetchone()
            database.execute("ROLLBACK")
            database.close()
            assert whole == (0,)
        assert '"status": 500' not in log
        assert "Traceback" not in log, log[-3000:]
