"""Cancelling tasks that lose a cancellation."""

import asyncio
import sys
import tomllib

import pytest

from app.environment import PROJECT_ROOT
from app.patches import lost_cancellations


async def run_for_long(future: "asyncio.Future[None]") -> None:
    """Wait for a future as arq waits for a job, then go on."""
    await asyncio.wait_for(future, 10)
    await asyncio.sleep(60)


async def cancelled_in_the_wrong_turn() -> "asyncio.Task[None]":
    """Return a task that was cancelled in the turn in which its future completed."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run_for_long(future))
    await asyncio.sleep(0.01)
    future.set_result(None)
    task.cancel()
    return task


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="fixed in Python 3.12")
async def test_python_still_loses_a_cancellation() -> None:
    task = await cancelled_in_the_wrong_turn()
    await asyncio.wait([task], timeout=0.1)
    assert not task.done(), "delete app/patches/lost_cancellations.py: it is needed no more"
    task.cancel()
    await asyncio.wait([task])


def test_a_python_that_loses_cancellations_is_still_supported() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].startswith(">=3.11"), (
        "delete app/patches/lost_cancellations.py: it is needed no more"
    )


async def test_a_task_that_lost_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lost_cancellations, "REPEAT_AFTER", 0.05)
    task = await cancelled_in_the_wrong_turn()
    async with asyncio.timeout(5):
        await lost_cancellations.end(task)
    assert task.cancelled()


async def test_tasks_that_have_ended_already_are_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await lost_cancellations.end(task)
    assert not task.cancelled()
