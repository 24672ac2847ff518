"""The statements of the engine."""

from datetime import timedelta
from typing import Any

from quart import Quart
from sqlalchemy import update

from app.database import db, utcnow
from app.jobs.context import Leased
from app.jobs.engine import leases
from app.jobs.models import Job
from app.jobs.queue import KINDS
from tests.jobs.conftest import jobs, put
from tests.jobs.engine.conftest import lease_one


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
            assert await leases.claim(connection, [leased.key]) == {leased.key}
    assert (await jobs())[0].attempt == 1
    async with db.begin() as connection:
        await leases.release_unknown(connection, "worker", [leased.key])
    assert (await jobs())[0].state == "running"
    async with db.begin() as connection:
        await leases.release_unknown(connection, "worker", [])
    [released] = await jobs()
    assert (released.state, released.attempt) == ("waiting", 0)


async def end_lease(**values: Any) -> None:
    async with db.transaction() as session:
        past = utcnow() - timedelta(seconds=1)
        await session.execute(update(Job).values(leased_until=past, **values))


async def take() -> list[Leased]:
    async with db.begin() as connection:
        return await leases.take(connection, "another", 10)


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
        assert await leases.claim(connection, [first.key]) == set()


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
        assert await leases.finish(connection, [job.key]) == set()


async def test_a_worker_that_was_suspended_does_not_requeue_what_it_runs_itself(app: Quart) -> None:
    job = await lease_one()
    async with db.begin() as connection:
        await leases.claim(connection, [job.key])
    await end_lease()
    await recover(job)
    async with db.begin() as connection:
        assert await leases.renew(connection, [job.key]) == {job.key}


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
