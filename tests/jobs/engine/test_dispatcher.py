"""Which jobs a worker takes, how many, and in which order."""

from typing import Any

from app.jobs import queue
from tests.jobs.conftest import Work, jobs, put
from tests.jobs.declared import RAN


async def test_the_longest_due_run_first(work: Work) -> None:
    for value in range(25):
        await put("tests.note", value=value)
    await work()
    assert sorted(RAN) == list(range(25))
    assert RAN[0] < 10


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
