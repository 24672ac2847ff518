"""Enqueueing jobs, and declaring what runs under a name."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from quart import Quart
from sqlalchemy import select

from app.database import db, utcnow
from app.jobs.engine import leases
from app.jobs.models import Job
from app.jobs.queue import enqueue, enqueue_many, job
from app.redis import redis
from tests.jobs.conftest import Work, jobs, put
from tests.jobs.declared import RAN, leave


async def test_a_job_runs_once_with_its_arguments(work: Work) -> None:
    await put("tests.note", value={"a": [1, "ü", None]})
    await work()
    await work()
    assert RAN == [{"a": [1, "ü", None]}]
    [done] = await jobs()
    assert (done.state, done.attempt, done.error, done.finished_at is not None) == (
        "done",
        1,
        None,
        True,
    )


async def test_a_rolled_back_transaction_leaves_no_job(work: Work) -> None:
    with pytest.raises(RuntimeError):
        async with db.transaction() as session:
            await enqueue(session, "tests.note", value=1)
            raise RuntimeError
    await work()
    assert (RAN, await jobs()) == ([], [])


async def test_many_are_enqueued_in_order_and_each_runs_with_its_own_arguments(work: Work) -> None:
    async with db.transaction() as session:
        ids = await enqueue_many(session, "tests.note", [{"value": each} for each in range(250)])
    await work()
    assert sorted(RAN) == list(range(250))
    assert [row.id for row in sorted(await jobs(), key=lambda row: row.args["value"])] == ids


async def test_many_are_enqueued_all_or_none(work: Work) -> None:
    many: list[dict[str, object]] = [{"value": 1}, {"value": "x" * 9000}]
    async with db.transaction() as session:
        with pytest.raises(ValueError, match="too large"):
            await enqueue_many(session, "tests.note", many)
        with pytest.raises(ValueError, match="delay"):
            await enqueue_many(session, "tests.note", [{"value": 1}], delay=-1)
        assert await enqueue_many(session, "tests.note", []) == []
    with pytest.raises(RuntimeError):
        async with db.transaction() as session:
            await enqueue_many(session, "tests.note", [{"value": 1}, {"value": 2}])
            raise RuntimeError
    async with db.transaction() as session:
        await enqueue_many(session, "tests.note", [{"value": 3}], delay=60)
    await work()
    assert RAN == []
    [row] = await jobs()
    assert (row.state, row.attempt, row.args) == ("waiting", 0, {"value": 3})
    assert row.due_at
    assert 50 < (row.due_at - row.created_at).total_seconds() < 70


async def test_a_cancelled_request_leaves_no_job(work: Work) -> None:
    enqueued = asyncio.Event()

    async def request() -> None:
        async with db.transaction() as session:
            await enqueue(session, "tests.note", value=1)
            enqueued.set()
            await asyncio.sleep(10)

    task = asyncio.create_task(request())
    await enqueued.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await work()
    assert (RAN, await jobs()) == ([], [])


async def test_a_job_sees_the_data_it_was_committed_with(work: Work) -> None:
    async with db.transaction() as session:
        await enqueue(session, "tests.note", value=1)
        assert (await session.execute(select(Job.name))).scalar_one() == "tests.note"
    await work()
    assert RAN == [1]


async def test_a_delayed_job_is_not_due_yet(work: Work) -> None:
    identifier = await put("tests.note", value=1, delay=60)
    await work()
    assert RAN == []
    [waiting] = await jobs(id=identifier)
    assert waiting.due_at
    assert timedelta(seconds=50) < waiting.due_at - utcnow() <= timedelta(seconds=60)


async def test_of_one_unique_key_only_one_waits(work: Work) -> None:
    first = await put("tests.note", value=1, unique="key")
    assert first is not None
    assert await put("tests.note", value=2, unique="key") is None
    assert await put("tests.note", value=3, unique="other") is not None
    await work()
    assert sorted(RAN) == [1, 3]
    # It has started, and may have read what was there before: a new wish is a new job.
    assert await put("tests.note", value=4, unique="key") is not None


async def test_two_kinds_of_jobs_may_share_a_unique_key(work: Work) -> None:
    assert await put("tests.note", value=1, unique="key") is not None
    assert await put("tests.give_up", unique="key") is not None
    await work()
    assert sorted(map(str, RAN)) == ["1", "gave up"]


async def test_parallel_enqueues_of_one_unique_key_make_one_job(app: Quart) -> None:
    made = await asyncio.gather(*(put("tests.note", value=n, unique="key") for n in range(8)))
    assert len([each for each in made if each]) == 1
    assert len(await jobs()) == 1


async def test_a_job_with_a_unique_key_sees_what_was_written_with_a_wish_for_it(
    app: Quart, backend: str
) -> None:
    """The job that waits already must not start before the transaction ends that has wished for
    another.
    """
    if backend == "sqlite":
        pytest.skip("one writer at a time: nothing can start in between")
    await put("tests.note", value=1, unique="key")
    async with db.transaction() as session:
        assert await enqueue(session, "tests.note", value=2, unique="key") is None
        async with db.begin() as connection:
            assert await leases.take(connection, "worker", 10) == []
    async with db.begin() as connection:
        assert len(await leases.take(connection, "worker", 10)) == 1


async def test_arguments_are_small_json(app: Quart) -> None:
    with pytest.raises(ValueError, match="too large"):
        await put("tests.note", value="x" * 10_000)
    with pytest.raises(TypeError):
        await put("tests.note", value=uuid.uuid4())
    with pytest.raises(ValueError, match="JSON compliant"):
        await put("tests.note", value=float("nan"))
    for wrong in ({"delay": -1}, {"delay": 1e12}, {"delay": float("nan")}, {"unique": "x" * 100}):
        with pytest.raises(ValueError, match="takes a delay of"):
            await put("tests.note", **wrong)
    assert await jobs() == []


async def test_workers_are_woken_on_a_channel_of_this_installation(app: Quart) -> None:
    async with redis.pubsub() as messages:
        await messages.psubscribe("*jobs:wake")
        await messages.get_message(timeout=1)
        await put("tests.note", value=1)
        message = await messages.get_message(ignore_subscribe_messages=True, timeout=5)
    assert message
    assert message["channel"] == b"qb-testing:jobs:wake"


def test_two_jobs_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"tests\.note"):
        job("tests.note")(leave)
