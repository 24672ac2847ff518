"""Migrations that Ctrl-C ends before they have begun."""

import asyncio

import pytest

from app import migrations


async def test_what_is_cancelled_before_it_runs_does_not_run() -> None:
    """Ctrl-C while Alembic still reads the migrations, in its thread."""
    changed = []

    async def migrate() -> None:
        changed.append(True)

    inside = migrations.Cancellable()
    inside.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.to_thread(inside.run, migrate())
    assert changed == []
