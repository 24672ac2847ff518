"""Which jobs a worker takes, how many, and in which order."""

import dataclasses
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.config import settings
from app.database import db
from app.jobs import queue
from app.jobs.engine import leases, ticks
from app.jobs.models import Priority
from tests.jobs.conftest import Work, jobs, put
from tests.jobs.declared import RAN


async def test_the_longest_due_run_first(work: Work) -> None:
    for value in range(100):
        await put("tests.note", value=value)
    await work()
    assert list(range(100)) == RAN


async def test_a_job_of_another_release_waits_for_a_worker_that_knows_it(
    work: Work, monkeypatch: Any
) -> None:
    monkeypatch.setattr(settings, "JOBS_OF_NEXT_RELEASE", True)
    await put("tests.newer", value=1)
    await work()
    [waiting] = await jobs()
    assert (waiting.state, waiting.attempt, waiting.lease) == ("waiting", 0, 0)
    monkeypatch.setitem(queue.KINDS, "tests.newer", queue.KINDS["tests.note"])
    await work()
    assert RAN == [1]


async def test_jobs_are_taken_whatever_fails_beside(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise OperationalError("", None, Exception("no luck"))

    monkeypatch.setattr(leases, "recover", fail)
    monkeypatch.setattr(ticks, "enqueue_due", fail)
    await put("tests.note", value=1)
    await work()
    assert RAN == [1]


async def test_priorities_come_before_the_time_and_kinds_do_not(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = dataclasses.replace(queue.KINDS["tests.note"], at_once=5)
    monkeypatch.setitem(queue.KINDS, "tests.few", few)
    first = dataclasses.replace(queue.KINDS["tests.note"], priority=Priority.HIGH)
    monkeypatch.setitem(queue.KINDS, "tests.first", first)
    for value in range(4):
        await put(("tests.note", "tests.few")[value % 2], value=value)
    await put("tests.first", value="first")
    async with db.begin() as connection:
        taken = await leases.take(connection, "worker", 10)
    assert [job.args["value"] for job in taken] == ["first", 0, 1, 2, 3]
