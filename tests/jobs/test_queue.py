"""Enqueueing jobs, and declaring what runs under a name."""

import asyncio
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from quart import Quart
from sqlalchemy import select, text

from app.config import settings
from app.database import db, utcnow
from app.jobs.engine import leases
from app.jobs.models import Job, Priority
from app.jobs.queue import KINDS, KeyIsLocked, enqueue, enqueue_many, job
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
        with pytest.raises(ValueError, match=r"takes a (delay|key) of"):
            await put("tests.note", **wrong)
    assert await jobs() == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\x00b", "the character NUL"),
        ({"deep": ["\x00"]}, "the character NUL"),
        ({"\x00": 1}, "the character NUL"),
        ("\\\x00", "the character NUL"),
        ("half \ud83d", "half of a surrogate pair"),
        (uuid.uuid4(), "not JSON serializable"),
    ],
)
async def test_what_no_database_stores_is_refused_with_job_and_argument(
    app: Quart, value: object, words: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"'value' of tests\.note .*{words}"):
        await put("tests.note", value=value)
    async with db.transaction() as session:
        with pytest.raises((TypeError, ValueError), match=r"'value' of tests\.note"):
            await enqueue_many(session, "tests.note", [{"value": 1}, {"value": value}])


@pytest.mark.parametrize("value", ["\\u0000", "\\\\u0000", "a\\", "🎉\x01\x7f"])
async def test_what_only_looks_like_it_is_stored(work: Work, value: str) -> None:
    await put("tests.note", value=value)
    await work()
    assert [value] == RAN


@pytest.mark.parametrize("name", ["tests.nobody", "", "Tests Note", "tests:note", "x" * 101])
async def test_a_name_that_nobody_declares_is_refused(app: Quart, name: str) -> None:
    with pytest.raises(ValueError, match="No job is named"):
        await put(name)
    async with db.transaction() as session:
        with pytest.raises(ValueError, match="No job is named"):
            await enqueue_many(session, name, [{}])


async def test_in_the_hour_of_a_deploy_names_of_the_next_release_are_enqueued(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "JOBS_OF_NEXT_RELEASE", True)
    await put("tests.next", anything=1)
    assert [row.name for row in await jobs()] == ["tests.next"]
    for wrong in ("", "tests:note", "x" * 101):
        with pytest.raises(ValueError, match="No job is named"):
            await put(wrong)


@pytest.mark.parametrize("args", [{"valu": 1}, {"value": 1, "more": 2}])
async def test_arguments_that_its_function_does_not_take_are_refused(
    app: Quart, args: dict[str, int]
) -> None:
    with pytest.raises(TypeError, match=r"tests\.note cannot be called with these arguments"):
        await put("tests.note", **args)


async def test_a_session_that_does_not_commit_enqueues_nothing(app: Quart) -> None:
    async with db.session() as session:
        with pytest.raises(
            RuntimeError, match=r"tests\.note is enqueued in a session that does not"
        ):
            await enqueue(session, "tests.note")
        with pytest.raises(RuntimeError, match=r"db\.transaction"):
            await enqueue_many(session, "tests.note", [{}])


async def test_a_key_that_somebody_else_is_enqueueing_is_an_error_that_says_so(
    app: Quart, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "sqlite":
        pytest.skip("one writer at a time: the second waits for the first one's end")
    async with db.transaction() as first:
        await enqueue(first, "tests.note", unique="key")
        async with db.session() as other:  # whose time-out is short
            other.info.clear()
            await other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            with pytest.raises(KeyIsLocked) as caught:
                await enqueue(other, "tests.note", unique="key")
    assert "try again" in caught.value.message
    assert caught.value.status == 503
    assert len(await jobs()) == 1


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


@pytest.mark.parametrize("name", ["", "tests:note", "tests note", "tests.ü", "x" * 101])
def test_a_name_that_a_key_or_a_shell_would_garble_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a job's name"):
        job(name)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("max_attempts", value) for value in (0, -1, 2.5, "3", True, None, 10**12)),
        *(("at_once", value) for value in (0, 1.5, "1", True, 10**12)),
        *(("timeout", value) for value in (0, -1, "5", True, 1e12, float("nan"), float("inf"))),
        *(("priority", value) for value in (5, 1, "high", None, True)),
    ],
)
def test_a_job_that_never_could_begin_is_a_mistake(option: str, value: object) -> None:
    words = re.escape(f"tests.never cannot have {option}={value!r}: it is ")
    with pytest.raises(ValueError, match=words):
        job("tests.never", **{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [None, 1, 0.5, 86400])
def test_a_job_may_have_every_value_that_can_be_used(timeout: float | None) -> None:
    job("tests.ever", timeout=timeout, max_attempts=1, priority=Priority.LOW, at_once=1)


def test_a_job_without_a_name_is_told_how_to_write_it() -> None:
    with pytest.raises(ValueError, match=r'leave at .* has no name .*: write @job\("feature'):
        job(leave)  # type: ignore[arg-type]


async def _of_position(number: int, /) -> None:
    """What nobody can call by names."""


async def _delayed(delay: float) -> None:
    """What `enqueue` would keep for itself."""


async def _of_any_number(*numbers: int) -> None:
    """What nobody can give by names either."""


def _at_once() -> None:
    """What nobody awaits."""


@pytest.mark.parametrize("function", [_of_position, _of_any_number, _delayed, _at_once])
def test_a_function_that_cannot_be_given_its_arguments_is_refused(function: Any) -> None:
    with pytest.raises(ValueError, match=r"^tests\.never (cannot be given the argument|is no)"):
        job("tests.never")(function)


def test_a_function_of_the_same_name_elsewhere_is_another() -> None:
    async def note() -> None:
        """Look like another."""

    note.__qualname__ = KINDS["tests.note"].function.__qualname__
    with pytest.raises(ValueError, match=r"Two jobs are named 'tests\.note'"):
        job("tests.note")(note)


async def test_nothing_is_no_reason_to_take_what_is_wrong(app: Quart) -> None:
    async with db.transaction() as session:
        with pytest.raises(ValueError, match="No job is named"):
            await enqueue_many(session, "tests.nothing", [])
    async with db.session() as session:
        with pytest.raises(RuntimeError, match="does not commit"):
            await enqueue_many(session, "tests.note", [])


async def test_arguments_nest_as_deep_as_every_library_reads(app: Quart) -> None:
    value: object = 1
    for _ in range(29):
        value = [value]
    await put("tests.note", value=value)
    for deep in ([value], {"a": value}, {"a": [value]}):
        with pytest.raises(ValueError, match=r"'value' of tests\.note cannot be stored: it nests"):
            await put("tests.note", value=deep)
    for _ in range(5000):
        value = [value]
    with pytest.raises(ValueError, match="it nests more than 30"):
        await put("tests.note", value=value)
    await put("tests.note", value=[[], {}] * 50)  # many, beside each other


@pytest.mark.parametrize("unique", ["", "a\0", "\udcff", 5])
async def test_a_key_is_a_text_that_every_database_stores(app: Quart, unique: Any) -> None:
    with pytest.raises(ValueError, match=r"tests\.note"):
        await put("tests.note", unique=unique)


@pytest.mark.parametrize("delay", ["5", None, timedelta(5)])
async def test_a_delay_is_a_number_of_seconds(app: Quart, delay: Any) -> None:
    with pytest.raises(ValueError, match=r"tests\.note takes a delay of 0 to"):
        await put("tests.note", delay=delay)
