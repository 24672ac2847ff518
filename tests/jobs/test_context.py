"""What a job does about itself while it runs: progress, and completing."""

import json
from typing import Any

import pytest
from quart import Quart
from sqlalchemy import update

from app.database import db
from app.jobs import queue, service
from app.jobs.context import LeaseLost, completing, report
from app.jobs.models import Job
from app.jobs.queue import job
from app.redis import redis
from tests.factories.people import make_person
from tests.jobs.conftest import Work, jobs, put
from tests.jobs.declared import RAN


async def test_progress_is_kept_and_published(work: Work) -> None:
    published: list[Any] = []

    @job("tests.progress")
    async def progress() -> None:
        async with redis.pubsub() as messages:
            await messages.subscribe("qb-testing:jobs:progress")
            await messages.get_message(timeout=1)
            for number in range(5):
                await report(number, 10, "half way")
            await report(10, 10, "all of it")
            while message := await messages.get_message(timeout=0.2):
                published.append(json.loads(message["data"]))

    identifier = await put("tests.progress")
    await work()
    [done] = await jobs()
    assert done.progress == {"done": 10, "total": 10, "message": "all of it"}
    assert [each["done"] for each in published] == [0, 10]
    assert {each["id"] for each in published} == {str(identifier)}
    del queue.KINDS["tests.progress"]


async def test_progress_outside_of_a_job_is_nobodys(app: Quart) -> None:
    await report(1, 2)
    assert await jobs() == []


async def test_a_job_completes_with_what_it_writes(work: Work) -> None:
    person = await make_person()

    @job("tests.rename")
    async def rename(fails: bool) -> None:
        from app.auth.models import User

        async with completing() as session:
            await session.execute(
                update(User).where(User.id == person.id).values(first_name="Done")
            )
            if fails:
                raise ValueError

    await put("tests.rename", fails=True)
    await work()
    [failed] = await jobs()
    assert (failed.state, failed.finished_at) == ("waiting", None)
    async with db.transaction() as session:
        await session.execute(update(Job).values(args={"fails": False}))
        await service.retry_jobs(session, [failed.id])
    await work()
    [done] = await jobs()
    assert (done.state, done.error) == ("done", None)
    del queue.KINDS["tests.rename"]


async def test_what_comes_after_completing_changes_nothing(work: Work) -> None:
    @job("tests.late")
    async def late(twice: bool) -> None:
        async with completing():
            RAN.append("completed")
        if twice:
            async with completing():
                RAN.append("again")
        raise ValueError

    for twice in (False, True):
        await put("tests.late", twice=twice)
    await work()
    assert {(each.state, each.attempt, each.error) for each in await jobs()} == {("done", 1, None)}
    assert RAN == ["completed"] * 2
    del queue.KINDS["tests.late"]


async def test_a_job_that_another_worker_has_taken_changes_nothing(work: Work) -> None:
    @job("tests.loser")
    async def loser() -> None:
        async with db.transaction() as session:
            await session.execute(update(Job).values(lease=Job.lease + 1, worker="another"))
        with pytest.raises(LeaseLost):
            await report(1, 1)
        with pytest.raises(LeaseLost):
            async with completing() as session:
                await session.execute(update(Job).values(error="written"))
        RAN.append("went on")

    await put("tests.loser")
    await work()
    [running] = await jobs()
    assert (running.state, running.worker, running.progress, running.error) == (
        "running",
        "another",
        None,
        None,
    )
    assert RAN == ["went on"]
    del queue.KINDS["tests.loser"]
