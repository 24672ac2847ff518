"""Signals that come more than once, jobs that do not end by them, and databases that go away."""

import signal
import time
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.validators.database_url import database_url
from tests.clones import Clone
from tests.commands.filling import fill, number_of
from tests.commands.shells import Begin, until_its_job_begins, with_odd_jobs

pytestmark = [pytest.mark.faults, pytest.mark.waits]

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.mark.parametrize(
    ("first", "second"), [(INT, INT), (INT, TERM), (TERM, INT), (TERM, HUP), (HUP, TERM)]
)
async def test_the_first_signal_counts_and_its_echo_is_passed_over(
    clone: Clone, begin: Begin, first: int, second: int
) -> None:
    with_odd_jobs(clone)
    process = begin(clone, "jobs", "run", "jobs.end_slowly")
    until_its_job_begins(process)
    process.send_signal(first)
    time.sleep(0.02)
    process.send_signal(second)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + first, errors
    assert "Error: Stopped. jobs.end_slowly waits" in errors
    assert await clone.query("SELECT state, attempt FROM jobs") == [("waiting", 0)]


@pytest.mark.parametrize("in_background", [False, True])
async def test_another_signal_ends_it_at_once_and_says_what_goes_on(
    clone: Clone, begin: Begin, in_background: bool
) -> None:
    with_odd_jobs(clone)
    process = begin(clone, "jobs", "run", "jobs.end_slowly", in_background=in_background)
    until_its_job_begins(process)
    process.send_signal(TERM)
    time.sleep(1)
    process.send_signal(HUP)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + TERM, errors
    assert "Traceback" not in errors
    [(job_id, state)] = await clone.query("SELECT id, state FROM jobs")
    assert state == "running"
    assert "Error: Stopped. jobs.end_slowly (" in errors
    assert "counts as running. A worker runs it from the beginning after 20" in errors
    assert errors.split()[-1].replace("-", "") == str(job_id).replace("-", "")


async def test_a_job_that_ignores_its_cancellation_keeps_its_lease(
    clone: Clone, begin: Begin
) -> None:
    with_odd_jobs(clone)
    process = begin(clone, "jobs", "run", "jobs.ignore")
    until_its_job_begins(process)
    process.send_signal(TERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + TERM, errors
    assert "Stopped. jobs.ignore ignores its cancellation: this process ends it." in errors
    assert "counts as running. A worker runs it from the beginning after 20" in errors
    assert await clone.query("SELECT state, attempt FROM jobs") == [("running", 1)]


async def test_changing_jobs_in_the_background_of_a_script_takes_no_notice_of_ctrl_c(
    clone: Clone, begin: Begin
) -> None:
    await fill(clone)
    chosen = ["--state", "dead", "--error", "connection"]
    process = begin(clone, "jobs", "discard", *chosen, in_background=True)
    while not await number_of(clone, "discarded"):
        time.sleep(0.05)
    process.send_signal(INT)
    process.send_signal(INT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output == "25,000 jobs are discarded.\n"


def only_postgresql(clone: Clone) -> None:
    if clone.database_url.startswith("sqlite"):
        pytest.skip("a file does not go away, and its rows are never locked by themselves")


async def shut(clone: Clone, open_again: bool = False) -> None:
    """Refuse connections to a database, and end those that there are."""
    url = make_url(clone.database_url)
    admin = await asyncpg.connect(
        host=str(url.query["host"]), user=url.username, database="postgres"
    )
    word = "true" if open_again else "false"
    await admin.execute(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {word}')
    await admin.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", url.database
    )
    await admin.close()


@pytest.mark.parametrize("in_background", [False, True])
async def test_a_job_whose_database_goes_away_is_said_to_count_as_running(
    clone: Clone, begin: Begin, tmp_path: Path, in_background: bool
) -> None:
    only_postgresql(clone)
    with_odd_jobs(clone)
    for number in (0, TERM):
        line = tmp_path / f"line-{number}"
        process = begin(
            clone,
            *("jobs", "run", "jobs.wait_for_a_line", f"path={line}"),
            in_background=in_background,
        )
        until_its_job_begins(process)
        await shut(clone)
        if number:
            process.send_signal(number)
        else:
            line.touch()
        _, errors = process.communicate(timeout=60)
        await shut(clone, open_again=True)
        assert process.returncode == (128 + number if number else 1), errors
        assert "not currently accepting connections" in errors
        assert "jobs.wait_for_a_line (" in errors
        assert "counts as running. A worker runs it from the beginning after 20" in errors
        assert "Nothing was changed" not in errors
        assert "Traceback" not in errors
        assert "Unhandled" not in errors.title()


async def test_jobs_that_somebody_holds_are_passed_over_and_counted(clone: Clone) -> None:
    only_postgresql(clone)
    await fill(clone)
    engine = create_async_engine(database_url(clone.database_url))
    async with engine.begin() as connection:
        some = "SELECT id FROM jobs WHERE id > '00000000-0000-0000-0000-000000000010'"
        [(held,)] = await connection.execute(text(f"{some} ORDER BY id LIMIT 1 FOR UPDATE"))
        words = clone.refuses("jobs", "discard", "--state", "dead")
        assert words == (
            "Error: 99,999 jobs are discarded. 1 job is passed over, which other transactions "
            "hold: try again when they have ended.\n"
        )
        assert "0 jobs are due now, of 1. 1 job is passed" in clone.refuses(
            "jobs", "retry", str(held)
        )
    await engine.dispose()
    assert clone.does("jobs", "discard", "--state", "dead") == "1 job is discarded.\n"
