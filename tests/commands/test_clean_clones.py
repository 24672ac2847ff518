"""What the original's documentation has people type first, on a clean clone and on a database with
people in it.
"""

import subprocess
import sys

import pytest

from tests.clones import EMPTY, TABLES, Clone


@pytest.mark.faults
@pytest.mark.waits
async def test_recreate_db_makes_every_table_and_setup_dev_fills_them(clone: Clone) -> None:
    for _ in range(2):  # on a database without tables, then on one with people in it
        said = clone.does("recreate-db")
        assert f"Created {len(TABLES)} empty tables: {', '.join(TABLES)}." in said
        assert await clone.counts() == EMPTY
        clone.does("setup-dev")
        assert await clone.query("SELECT email FROM users") == [("admin@example.com",)]
    clone.does("db", "check")


@pytest.mark.faults
@pytest.mark.waits
async def test_a_database_that_is_stamped_without_tables_is_named_and_mended(clone: Clone) -> None:
    clone.does("db", "stamp")
    for command in ("setup-dev", "check"):
        words = clone.refuses(command)
        assert "but has no tables" in words
        assert "run: python manage.py recreate-db" in words
    clone.does("recreate-db")
    clone.does("setup-dev")
    assert await clone.query("SELECT count(*) FROM users") == [(1,)]


@pytest.mark.faults
@pytest.mark.waits
async def test_a_broken_production_database_is_not_sent_to_recreate_db(clone: Clone) -> None:
    clone.does("db", "stamp")
    more = {
        "QUART_CONFIG": "production",
        "SECRET_KEY": "k" * 32,
        "BASE_URL": "https://a.example",
        "ADMIN_EMAIL": "boss@example.org",
        "ADMIN_PASSWORD": "seven purple herons",
    }
    words = clone.refuses("setup-prod", **more)
    assert "restore a backup" in words
    assert "recreate-db" not in words


@pytest.mark.faults
@pytest.mark.waits
async def test_the_plain_function_recreates_in_a_process_that_has_loaded_nothing_else(
    clone: Clone,
) -> None:
    script = "import asyncio, manage; print(len(asyncio.run(manage.recreate_db()).created))"
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=clone.folder,
        env=clone.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == f"{len(TABLES)}\n"
    assert await clone.counts() == EMPTY
