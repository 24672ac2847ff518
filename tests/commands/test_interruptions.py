"""Commands that a shell ends: by Ctrl-C, by SIGTERM, or because its terminal is closed."""

import asyncio
import re
import signal
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.clones import Clone
from tests.commands.filling import DEAD, fill, number_of
from tests.commands.shells import Begin, end, until_its_job_begins, with_odd_jobs

pytestmark = [pytest.mark.faults, pytest.mark.waits]

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
each = pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)

SLOW_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "slow"
down_revision = {head!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("slow", sa.Column("id", sa.Integer(), primary_key=True))
    print("it has begun", flush=True)
    op.execute("SELECT pg_sleep(100)")


def downgrade() -> None:
    op.drop_table("slow")
"""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 60
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@each
async def test_a_migration_is_cancelled_and_rolled_back(
    clone: Clone, begin: Begin, number: int
) -> None:
    if clone.database_url.startswith("sqlite"):
        pytest.skip("a statement of SQLite cannot be cancelled: the migration ends first")
    clone.does("setup-dev")
    head = clone.does("db", "heads").split()[0]
    migration = clone.folder / "alembic" / "versions" / "29990101_slow.py"
    migration.write_text(SLOW_MIGRATION.format(head=head))
    process = begin(clone, "db", "upgrade")
    until_its_job_begins(process)
    _, error = end(process, number)
    assert f"Stopped by {signal.Signals(number).name}" in error
    assert "slow" not in await clone.tables()
    assert head in clone.does("db", "current")
    running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active'"
    assert await clone.query(f"{running} AND pid <> pg_backend_pid()") == []


@each
async def test_add_fake_data_says_who_stays(clone: Clone, begin: Begin, number: int) -> None:
    clone.does("setup-dev")
    process = begin(clone, "add-fake-data", "-n", "5000000")

    async def begun() -> bool:
        [(number,)] = await clone.query("SELECT count(*) FROM users")
        return bool(number > 1)

    await until(begun)
    _, error = end(process, number)
    said = re.search(r"Stopped\. Added (\d+) users of 5000000, who stay", error)
    assert said, error
    assert await clone.query("SELECT count(*) FROM users") == [(int(said[1]) + 1,)]


@each
async def test_changing_jobs_says_how_many_were_changed(
    clone: Clone, begin: Begin, number: int
) -> None:
    await fill(clone)
    process = begin(clone, "jobs", "discard", "--state", "dead")

    async def begun() -> bool:
        return await number_of(clone, "discarded") > 0

    await until(begun)
    _, error = end(process, number)
    said = re.search(r"Stopped\. ([\d,]+) jobs are discarded, and the others as before", error)
    assert said, error
    discarded = await number_of(clone, "discarded")
    assert discarded == int(said[1].replace(",", ""))
    assert discarded < DEAD
    assert await number_of(clone, "dead") == DEAD - discarded


@each
async def test_a_list_ends_in_the_middle(clone: Clone, begin: Begin, number: int) -> None:
    await fill(clone)
    process = begin(clone, "jobs", "list", "--all")
    assert process.stdout
    assert " dead " in process.stdout.readline()
    output, error = end(process, number)
    assert f"Stopped by {signal.Signals(number).name}" in error
    assert len(output.splitlines()) < 99_999


@each
async def test_a_job_run_by_hand_waits_for_a_worker(
    clone: Clone, begin: Begin, number: int
) -> None:
    with_odd_jobs(clone)
    process = begin(clone, "jobs", "run", "jobs.sleep", "seconds=90")
    until_its_job_begins(process)
    [(state,)] = await clone.query("SELECT state FROM jobs")
    assert state == "running"
    _, error = end(process, number)
    assert "Stopped. jobs.sleep waits: a worker runs it from the beginning" in error
    assert await clone.query("SELECT state, attempt FROM jobs") == [("waiting", 0)]
    assert error.split()[-1] in clone.does("jobs", "list"), "the command that discards it"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_in_the_background_of_a_script_all_but_ctrl_c_ends_it(
    clone: Clone, begin: Begin, number: int
) -> None:
    with_odd_jobs(clone)
    process = begin(clone, "jobs", "run", "jobs.sleep", "seconds=90", in_background=True)
    until_its_job_begins(process)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    _, error = end(process, number)
    assert "Stopped. jobs.sleep waits" in error
    assert await clone.query("SELECT state, attempt FROM jobs") == [("waiting", 0)]


@each
async def test_a_thread_that_hangs_does_not_keep_a_job_that_is_run_by_hand(
    clone: Clone, begin: Begin, number: int
) -> None:
    with_odd_jobs(clone)
    process = begin(clone, "jobs", "run", "jobs.hang")
    until_its_job_begins(process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + number, errors
    assert "A thread of the job still runs. It ends now, with this process." in errors
    assert "Error: Stopped. jobs.hang waits" in errors
    assert await clone.query("SELECT state, attempt FROM jobs") == [("waiting", 0)]


async def test_what_hangs_is_over_at_its_time_limit(clone: Clone) -> None:
    with_odd_jobs(clone)
    clone.timeout = 20
    error = clone.refuses("jobs", "run", "jobs.hang")
    assert "failed: It took longer than 4 s.\njobs.hang is dead." in error
    assert await clone.query("SELECT state, attempt FROM jobs") == [("dead", 1)]


async def test_an_exit_that_leaves_the_event_loop_is_an_error(clone: Clone) -> None:
    with_odd_jobs(clone)
    process = clone.run("jobs", "run", "jobs.leave")
    assert process.returncode == 1
    assert "has left the process by an exit. jobs.leave waits" in process.stderr
    assert await clone.query("SELECT state, attempt FROM jobs") == [("waiting", 0)]


@each
def test_amid_its_first_imports_it_ends_at_once(clone: Clone, begin: Begin, number: int) -> None:
    """In Python's own start, a few hundredths of a second before them, nobody can help it."""
    slow = clone.folder / "app" / "environment.py"
    began = 'import time\nprint("it has begun", flush=True)\ntime.sleep(60)\n'
    slow.write_text(began + slow.read_text())
    process = begin(clone, "routes")
    until_its_job_begins(process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (-number, "")


@each
@pytest.mark.parametrize("command", ["recreate-db", "setup-dev", "check", "routes"])
async def test_whenever_it_comes_it_is_one_line(
    clone: Clone, begin: Begin, number: int, command: str
) -> None:
    clone.does("setup-dev")
    for tenths in range(6, 21, 3):
        process = begin(clone, command)
        time.sleep(tenths / 10)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        # The last of these: while Python itself started or ended.
        statuses = {1 if command == "check" else 0, 128 + number, -number}
        assert process.returncode in statuses
        assert "Traceback" not in errors
        assert "never awaited" not in errors
        stopped = process.returncode == 128 + number
        assert errors.count("Error: Stopped by ") == stopped, errors
    clone.does("recreate-db")
    clone.does("setup-dev")
