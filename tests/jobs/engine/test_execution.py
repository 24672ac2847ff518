"""Running the function of a job, and what it fails with."""

import asyncio

import pytest
from sqlalchemy import update

from app.database import db
from app.jobs.models import Job
from tests.jobs.conftest import Work, jobs, put
from tests.jobs.declared import RAN


@pytest.mark.faults
@pytest.mark.waits
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
        ("tests.silent_exit", "RuntimeError: It raised SilentExit((its text cannot be had))."),
        ("tests.loud", "Loud: " + "x" * 1994),
        ("tests.cancel", "RuntimeError: Something that it waited for was cancelled."),
        (
            "tests.several",
            "ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions): "
            "ValueError: one; KeyError: 'two'",
        ),
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
    """Those of a job that the release before has enqueued."""
    await put("tests.note", value=1)
    async with db.transaction() as session:
        await session.execute(update(Job).values(args={"nonsense": 1}))
    await work()
    [failed] = await jobs()
    assert failed.state == "waiting"
    assert "nonsense" in str(failed.error)
