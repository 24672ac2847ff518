"""The statements of the engine."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from sqlalchemy import select, update

from app.config import settings
from app.database import db, utcnow
from app.jobs.context import Leased
from app.jobs.engine import leases
from app.jobs.engine.leases import Changed
from app.jobs.models import Job, Priority
from app.jobs.queue import KINDS, MAX_ATTEMPTS, enqueue_many
from tests.jobs.conftest import jobs, put
from tests.jobs.engine.conftest import lease_one

Change = Callable[[Any, Any], Awaitable[Changed]]


def test_an_error_is_kept_as_text_that_every_database_stores() -> None:
    assert leases.storable("a\x00b\ud800c") == "ab?c"
    assert len(leases.storable("x" * 100_000)) == leases.LONGEST_ERROR


async def test_back_off_doubles_up_to_its_most_and_is_spread(app: Quart) -> None:
    for attempt, seconds in ((1, 10), (2, 20), (5, 160), (9, 2560), (10, 3600), (500, 3600)):
        drawn = [leases.backoff(attempt) for _ in range(50)]
        assert min(drawn) >= seconds * 0.75
        assert max(drawn) <= seconds * 1.25
        assert len(set(drawn)) > 40


async def test_a_lost_answer_costs_no_attempt(app: Quart) -> None:
    await put("tests.note")
    async with db.begin() as connection:
        [leased] = await leases.take(connection, "worker", 10)
    for _ in range(2):
        async with db.begin() as connection:
            assert (await leases.claim(connection, [leased.key])).done == {leased.key}
    assert (await jobs())[0].attempt == 1
    async with db.begin() as connection:
        await leases.release_unknown(connection, "worker", [leased.key])
    assert (await jobs())[0].state == "running"
    async with db.begin() as connection:
        await leases.release_unknown(connection, "worker", [])
    [released] = await jobs()
    assert (released.state, released.attempt) == ("waiting", 0)


async def end_lease(ago: float = 1, **values: Any) -> None:
    async with db.transaction() as session:
        past = utcnow() - timedelta(seconds=ago)
        await session.execute(update(Job).values(leased_until=past, **values))


async def take(limit: int = 10) -> list[Leased]:
    async with db.begin() as connection:
        return await leases.take(connection, "another", limit)


async def recover(*known: Leased) -> None:
    async with db.begin() as connection:
        await leases.recover(connection, [job.key for job in known])


async def test_a_leased_job_is_taken_by_nobody_until_its_lease_ends(app: Quart) -> None:
    first = await lease_one()
    [leased] = await jobs()
    assert leased.due_at
    assert leased.due_at <= utcnow(), "it is due as before"
    assert await take() == []
    await end_lease()
    [second] = await take()
    assert (second.id, second.lease) == (first.id, first.lease + 1)
    async with db.begin() as connection:
        assert await leases.claim(connection, [first.key]) == (set(), set())


async def test_a_job_whose_worker_died_is_requeued_when_its_lease_ends(app: Quart) -> None:
    job = await lease_one()
    async with db.begin() as connection:
        await leases.claim(connection, [job.key])
    await recover()
    [running] = await jobs()
    assert (running.state, running.due_at) == ("running", None)
    await end_lease()
    await recover()
    [requeued] = await jobs()
    assert (requeued.state, requeued.attempt, requeued.leased_until) == ("waiting", 1, None)
    assert requeued.due_at
    assert "died in it" in str(requeued.error)
    async with db.begin() as connection:
        assert await leases.finish(connection, [job.key]) == (set(), set())


async def test_a_worker_that_was_suspended_does_not_requeue_what_it_runs_itself(app: Quart) -> None:
    job = await lease_one()
    async with db.begin() as connection:
        await leases.claim(connection, [job.key])
    await end_lease()
    await recover(job)
    async with db.begin() as connection:
        assert (await leases.renew(connection, [job.key])).done == {job.key}


async def test_a_job_that_killed_its_worker_too_often_is_dead(app: Quart) -> None:
    job = await lease_one("tests.give_up")
    async with db.begin() as connection:
        await leases.claim(connection, [job.key])
    await end_lease(attempt=KINDS["tests.give_up"].max_attempts)
    await recover()
    [dead] = await jobs()
    assert (dead.state, dead.leased_until) == ("dead", None)


async def test_a_lease_that_a_worker_of_the_release_before_extends_is_respected(
    app: Quart,
) -> None:
    """It extends `due_at`, and `leased_until` stays as the migration has left it."""
    job = await lease_one()
    later = utcnow() + timedelta(seconds=30)
    await end_lease(due_at=later)
    assert await take() == []
    async with db.begin() as connection:
        await leases.claim(connection, [job.key])
    await end_lease(due_at=later)
    await recover()
    assert [each.state for each in await jobs()] == ["running"]


async def test_a_released_job_is_due_when_it_was_and_has_used_no_attempt(app: Quart) -> None:
    waiting, running = await lease_one(), await lease_one()
    due_at = {each.id: each.due_at for each in await jobs()}
    async with db.begin() as connection:
        await leases.claim(connection, [running.key])
        await leases.release(connection, [waiting.key, running.key])
    found = {each.id: each for each in await jobs()}
    assert {(each.state, each.attempt, each.leased_until) for each in found.values()} == {
        ("waiting", 0, None)
    }
    assert found[waiting.id].due_at == due_at[waiting.id]
    assert len(await take()) == 2


async def test_what_backs_off_is_not_released_as_if_it_were_leased(app: Quart) -> None:
    job = await lease_one()
    async with db.begin() as connection:
        await leases.claim(connection, [job.key])
        await leases.fail(connection, job, "no luck", final=False)
        await leases.release_unknown(connection, "worker", [])
    [failed] = await jobs()
    assert failed.due_at
    assert failed.due_at > utcnow()


async def test_a_job_whose_name_nobody_knows_any_more_is_recovered_too(app: Quart) -> None:
    job = await lease_one()
    async with db.begin() as connection:
        await leases.claim(connection, [job.key])
    await end_lease(name="renamed.since")
    await recover()
    [left] = await jobs()
    assert left.state == "running", "a worker that knows how many attempts it has may be faster"
    later = settings.WORKER_LEASE * 2 + 1
    await end_lease(ago=later)
    await recover()
    [requeued] = await jobs()
    assert (requeued.state, requeued.attempt) == ("waiting", 1)
    async with db.transaction() as session:
        await session.execute(
            update(Job).values(state="running", due_at=None, attempt=MAX_ATTEMPTS)
        )
    await end_lease(ago=later)
    await recover()
    assert [each.state for each in await jobs()] == ["dead"]


@pytest.fixture
async def locked(app: Quart, backend: str) -> AsyncIterator[Leased]:
    """A job that this worker has leased, and whose row another transaction holds."""
    if backend == "sqlite":
        pytest.skip("SQLite locks no rows")
    job = await lease_one()
    async with db.transaction() as session:
        await session.execute(select(Job).where(Job.id == job.id).with_for_update())
        yield job


@pytest.mark.parametrize("change", [leases.claim, leases.renew, leases.release])
async def test_a_locked_row_holds_up_no_other(locked: Leased, change: Change) -> None:
    free, lost = await lease_one(), Leased(uuid4(), "tests.note", {}, 1, 0, leases.complete)
    async with db.begin() as connection:
        changed = await change(connection, [locked.key, lost.key, free.key])
    assert changed == ({free.key}, {locked.key})


@pytest.mark.parametrize("count", [1, 3])
async def test_finishing_does_not_wait_for_a_locked_row(locked: Leased, count: int) -> None:
    free = [await lease_one() for _ in range(count)]
    async with db.begin() as connection:
        await leases.claim(connection, [job.key for job in free])
        assert await leases.finish(connection, [job.key for job in free]) == (
            {job.key for job in free},
            set(),
        )
        # It never was claimed, so it is not this worker's to finish, locked or not.
        assert await leases.finish(connection, [locked.key]) == (set(), set())


async def test_those_of_higher_priority_begin_first_and_of_equal_ones_the_oldest(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, priority in (("tests.high", Priority.HIGH), ("tests.low", Priority.LOW)):
        monkeypatch.setitem(KINDS, name, replace(KINDS["tests.note"], priority=priority))
    async with db.transaction() as session:
        low = await enqueue_many(session, "tests.low", [{"value": number} for number in range(3)])
        some = await enqueue_many(session, "tests.note", [{"value": each} for each in range(100)])
        high = await enqueue_many(session, "tests.high", [{"value": number} for number in range(3)])
    begun = [job.id for _ in range(20) for job in await take()]
    assert begun == [*high, *some, *low]


async def test_of_a_kind_that_says_so_no_more_than_some_are_taken(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "tests.long", replace(KINDS["tests.note"], at_once=2))
    async with db.transaction() as session:
        await enqueue_many(session, "tests.long", [{}] * 20)
        await enqueue_many(session, "tests.note", [{}] * 3)
    async with db.begin() as connection:
        taken = await leases.take(connection, "worker", 10)
        assert Counter(job.name for job in taken) == {"tests.long": 2, "tests.note": 3}
        held = Counter(job.name for job in taken)
        assert await leases.take(connection, "worker", 10, held) == []
        held["tests.long"] -= 1
        assert [j.name for j in await leases.take(connection, "worker", 10, held)] == ["tests.long"]


async def test_kinds_of_which_few_run_at_once_do_not_overtake_the_others(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "tests.long", replace(KINDS["tests.note"], at_once=2))
    monkeypatch.setitem(KINDS, "tests.more", replace(KINDS["tests.note"], at_once=2))
    async with db.transaction() as session:
        first = await enqueue_many(session, "tests.note", [{}] * 3)
        long = await enqueue_many(session, "tests.long", [{}] * 3)
        more = await enqueue_many(session, "tests.more", [{}] * 3)
        last = await enqueue_many(session, "tests.note", [{}] * 3)
    held: Counter[str] = Counter()
    taken = []
    async with db.begin() as connection:
        for limit in (2, 2, 4, 4):
            some = await leases.take(connection, "worker", limit, held)
            held.update(job.name for job in some)
            taken.append([job.id for job in some])
    assert taken == [first[:2], [first[2], long[0]], [long[1], *more[:2], last[0]], last[1:]]


async def test_locked_rows_do_not_keep_others_from_the_place_that_they_had(
    app: Quart, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite locks no rows")
    monkeypatch.setitem(KINDS, "tests.long", replace(KINDS["tests.note"], at_once=2))
    async with db.transaction() as session:
        locked = await enqueue_many(session, "tests.note", [{}] * 3)
        long = await enqueue_many(session, "tests.long", [{}] * 3)
    async with db.transaction() as session:
        await session.execute(select(Job).where(Job.id.in_(locked)).with_for_update())
        assert [job.id for job in await take(2)] == long[:2]
