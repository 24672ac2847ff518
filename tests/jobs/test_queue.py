"""What becomes of a job, from its transaction to its end."""

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from quart import Quart
from sqlalchemy import select, text, update

from app.config import Config
from app.database import db, utcnow
from app.jobs import queue, service
from app.jobs.context import GiveUp, LeaseLost, completing, current, report
from app.jobs.engine import leases
from app.jobs.engine.result_writer import ResultWriter
from app.jobs.models import Job
from app.jobs.queue import enqueue, job
from app.redis import redis
from tests.factories.people import make_person
from tests.jobs.conftest import Work, jobs, put

RAN: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


@job("tests.note")
async def note(value: object = None) -> None:
    RAN.append(value)


@job("tests.fail", max_attempts=3)
async def fail() -> None:
    RAN.append(current.get().attempt)  # type: ignore[union-attr]
    raise ValueError("no\x00 luck")


@job("tests.give_up")
async def give_up() -> None:
    RAN.append("gave up")
    raise GiveUp("There is no such thing.")


@job("tests.sleep", timeout=0.1, max_attempts=1)
async def sleep() -> None:
    await asyncio.sleep(5)


@job("tests.exit", max_attempts=1)
async def leave() -> None:
    raise SystemExit(3)


@job("tests.interrupt", max_attempts=1)
async def interrupt() -> None:
    raise KeyboardInterrupt


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError


@job("tests.silent", max_attempts=1)
async def silent() -> None:
    raise Silent


@job("tests.cancel", max_attempts=1)
async def cancel() -> None:
    raise asyncio.CancelledError


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


async def test_the_longest_due_run_first(work: Work) -> None:
    for value in range(25):
        await put("tests.note", value=value)
    await work()
    assert sorted(RAN) == list(range(25))
    assert RAN[0] < 10


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


async def test_a_job_that_fails_is_tried_again_and_then_dead(work: Work, quick: None) -> None:
    await put("tests.fail")
    await work()
    [failed] = await jobs()
    assert (failed.state, failed.attempt) == ("waiting", 1)
    for _ in range(2):
        await asyncio.sleep(0.6)  # more than the second back-off
        await work()
    [dead] = await jobs()
    assert (dead.state, dead.attempt, RAN) == ("dead", 3, [1, 2, 3])
    assert dead.error == "ValueError: no luck"
    assert dead.finished_at is not None


def test_an_error_is_kept_as_text_that_every_database_stores() -> None:
    assert leases.storable("a\x00b\ud800c") == "ab?c"
    assert len(leases.storable("x" * 100_000)) == leases.LONGEST_ERROR


async def test_back_off_doubles_up_to_its_most_and_is_spread(app: Quart) -> None:
    for attempt, seconds in ((1, 10), (2, 20), (5, 160), (9, 2560), (10, 3600), (500, 3600)):
        drawn = [leases.backoff(attempt) for _ in range(50)]
        assert min(drawn) >= seconds * 0.75
        assert max(drawn) <= seconds * 1.25
        assert len(set(drawn)) > 40


async def test_a_job_that_gives_up_is_dead_at_once_and_says_why(work: Work, quick: None) -> None:
    await put("tests.give_up")
    await work()
    [dead] = await jobs()
    assert (dead.state, dead.attempt, dead.error) == ("dead", 1, "There is no such thing.")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("tests.sleep", "It took longer than 0.1 s."),
        ("tests.exit", "RuntimeError: It raised SystemExit(3)."),
        ("tests.interrupt", "RuntimeError: It raised KeyboardInterrupt()."),
        ("tests.silent", "Silent: (its text cannot be had)"),
        ("tests.cancel", "RuntimeError: Something that it waited for was cancelled."),
    ],
)
async def test_a_job_that_ends_in_odd_ways_takes_nobody_along(
    work: Work, name: str, error: str
) -> None:
    await put(name)
    await put("tests.note", value=1)
    await work()
    [odd] = await jobs(name=name)
    assert (odd.state, odd.error, RAN) == ("dead", error, [1])


async def test_wrong_arguments_are_a_failure_like_any_other(work: Work) -> None:
    await put("tests.note", nonsense=1)
    await work()
    [failed] = await jobs()
    assert failed.state == "waiting"
    assert "nonsense" in str(failed.error)


async def test_a_job_of_another_release_waits_for_a_worker_that_knows_it(
    work: Work, monkeypatch: Any
) -> None:
    await put("tests.newer", value=1)
    await work()
    [waiting] = await jobs()
    assert (waiting.state, waiting.attempt, waiting.lease) == ("waiting", 0, 0)
    monkeypatch.setitem(queue.KINDS, "tests.newer", queue.KINDS["tests.note"])
    await work()
    assert RAN == [1]


async def test_arguments_are_small_json(app: Quart) -> None:
    with pytest.raises(ValueError, match="too large"):
        await put("tests.note", value="x" * 10_000)
    with pytest.raises(TypeError):
        await put("tests.note", value=uuid.uuid4())
    with pytest.raises(ValueError, match="JSON compliant"):
        await put("tests.note", value=float("nan"))
    for wrong in ({"delay": -1}, {"delay": 1e12}, {"delay": float("nan")}, {"unique": "x" * 201}):
        with pytest.raises(ValueError, match="takes a delay of"):
            await put("tests.note", **wrong)
    assert await jobs() == []


def test_two_jobs_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"tests\.note"):
        job("tests.note")(leave)


async def test_redis_holds_ids_alone(app: Quart) -> None:
    seen: list[bytes] = []

    @job("tests.look")
    async def look(secret: str) -> None:
        seen.extend([repr((key, await dump(key))).encode() async for key in redis.scan_iter()])

    async def dump(key: bytes) -> object:
        kind = await redis.type(key)
        return await redis.get(key) if kind == b"string" else await redis.zrange(key, 0, -1)

    from tests.jobs.conftest import run_burst

    identifier = await put("tests.look", secret="canary")
    await run_burst()
    assert str(identifier).encode() in b"".join(seen)
    assert b"canary" not in b"".join(seen)
    del queue.KINDS["tests.look"]


async def test_a_message_planted_in_redis_runs_nothing(work: Work) -> None:
    @job("tests.planter")
    async def planter() -> None:
        [arq_queue] = [
            key async for key in redis.scan_iter("arq:queue:*") if await redis.type(key) == b"zset"
        ]
        for key, function in (("1:1", "run"), ("planted", "tests.note"), ("other", "run")):
            payload: dict[str, Any] = {"t": None, "f": function, "a": [key], "k": {}, "et": 1}
            await redis.set(f"arq:job:{key}", json.dumps(payload))
            await redis.zadd(arq_queue, {key: 1})
        await asyncio.sleep(0.2)

    await put("tests.planter")
    await work()
    assert RAN == []
    del queue.KINDS["tests.planter"]


async def test_progress_is_kept_and_published(work: Work) -> None:
    published: list[Any] = []

    @job("tests.progress")
    async def progress() -> None:
        async with redis.pubsub() as messages:
            await messages.subscribe("jobs:progress")
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


async def test_a_lost_answer_costs_no_attempt(app: Quart) -> None:
    await put("tests.note")
    async with db.begin() as connection:
        [leased] = await leases.take(connection, "worker", 10)
    for _ in range(2):
        async with db.begin() as connection:
            assert await leases.claim(connection, [leased.key]) == {leased.key}
    assert (await jobs())[0].attempt == 1
    async with db.begin() as connection:
        await leases.release_unknown(connection, "worker", [leased.key])
    assert (await jobs())[0].state == "running"
    async with db.begin() as connection:
        await leases.release_unknown(connection, "worker", [])
    [released] = await jobs()
    assert (released.state, released.attempt) == ("waiting", 0)


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
