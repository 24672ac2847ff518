"""Retrying, discarding and deleting jobs."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from quart import Quart
from sqlalchemy import select, update

from app.config import Config
from app.database import db, utcnow
from app.jobs import service
from app.jobs.models import Job
from tests.jobs.conftest import Work, jobs, put
from tests.jobs.declared import RAN


async def test_what_was_done_long_ago_is_deleted_and_what_died_is_kept(
    work: Work, settings: Config
) -> None:
    for _ in range(3):
        await put("tests.note")
    await put("tests.give_up")
    await work()
    recent = await put("tests.note")
    async with db.transaction() as session:
        old = utcnow() - timedelta(days=8)
        await session.execute(
            update(Job).where(Job.finished_at.is_not(None)).values(finished_at=old)
        )
    await work()
    monkey = service.BATCH
    service.BATCH = 2
    try:
        await put("jobs.delete_finished")
        await work()
    finally:
        service.BATCH = monkey
    left = {each.name: each.state for each in await jobs()}
    assert left == {"tests.give_up": "dead", "tests.note": "done", "jobs.delete_finished": "done"}
    assert [each.id for each in await jobs(name="tests.note")] == [recent]


async def test_a_retried_job_has_all_its_attempts_again_and_a_discarded_one_none(
    work: Work,
) -> None:
    await put("tests.give_up")
    discarded = await put("tests.note", value="never")
    async with db.transaction() as session:
        assert await service.discard_jobs(session, [discarded]) == 1
    await work()
    [dead] = await jobs(name="tests.give_up")
    async with db.transaction() as session:
        assert await service.retry_jobs(session, [dead.id, uuid.uuid4()]) == 1
    await work()
    [again] = await jobs(name="tests.give_up")
    assert (again.state, again.attempt, RAN) == ("dead", 1, ["gave up", "gave up"])
    assert (await jobs(id=discarded))[0].state == "discarded"


@pytest.mark.parametrize("change", [service.retry_jobs, service.discard_jobs])
async def test_a_job_that_somebody_holds_is_passed_over(
    app: Quart, backend: str, change: Callable[..., Awaitable[int]]
) -> None:
    if backend == "sqlite":
        pytest.skip("its rows are never locked by themselves")
    ids = [await put("tests.note", value=number) for number in range(3)]
    passed_over: set[uuid.UUID] = set()
    async with db.session() as other:
        await other.execute(select(Job).where(Job.id == ids[1]).with_for_update())
        async with db.transaction() as session:
            assert await change(session, [*ids, uuid.uuid4()], passed_over) == 2
    assert passed_over == {ids[1]}
