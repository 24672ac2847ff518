"""A worker with jobs that misbehave: `arq tests.faults.working.WorkerSettings`.

Each run of a job leaves lines in the file EFFECTS: what, its number, the process, the time, and
begin or end.
"""

import asyncio
import os
import re
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

import app.database
from app.jobs.context import GiveUp, completing
from app.jobs.engine import ticks
from app.jobs.queue import job
from app.jobs.schedule import Recurring
from app.worker import worker_settings


def note(event: str, number: object) -> None:
    """Leave a line; appending is atomic."""
    line = f"{event} {number} {os.getpid()} {time.monotonic()}\n"
    with Path(os.environ["EFFECTS"]).open("a") as file:
        file.write(line)


@job("faults.work")
async def work(number: int, seconds: float = 0.2) -> None:
    """Take a while."""
    note("begin", number)
    await asyncio.sleep(seconds)
    note("end", number)


@job("faults.poison", max_attempts=3)
async def poison() -> None:
    """Take the worker down, once others have begun."""
    note("begin", "poison")
    await asyncio.sleep(0.1)
    os._exit(1)


@job("faults.block", timeout=1)
async def block(seconds: float) -> None:
    """Hold up the event loop."""
    note("begin", "block")
    time.sleep(seconds)
    note("end", "block")


@job("faults.stubborn", timeout=0.5, max_attempts=2)
async def stubborn(seconds: float = 5) -> None:
    """Overrun the time-out, and take no notice of it."""
    note("begin", "stubborn")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            continue
    note("end", "stubborn")


@job("faults.hold", max_attempts=1)
async def hold() -> None:
    """Hold the interpreter, so that no other thread runs."""
    note("begin", "hold")
    re.match(r"(a+)+$", "a" * 40 + "b")


@job("faults.hang", timeout=1, max_attempts=1)
async def hang(number: int) -> None:
    """Leave a thread behind, for ever."""
    note("begin", f"hang-{number}")
    await asyncio.to_thread(threading.Event().wait)


@job("faults.fire")
async def fire(seconds: float) -> None:
    """Have something done in a thread, and not wait for it."""
    asyncio.get_running_loop().run_in_executor(None, time.sleep, seconds)


@job("faults.deafen")
async def deafen() -> None:
    """Have the process ignore what stops it, as a library that handles signals itself."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("end", "deafen")


@job("faults.leave", max_attempts=1)
async def leave() -> None:
    """Begin a task that leaves the event loop, as a library that calls `sys.exit` does."""
    note("begin", "leave")
    task = asyncio.create_task(call_exit())
    await asyncio.sleep(60)
    await task


async def call_exit() -> None:
    """Leave the event loop."""
    sys.exit(3)


class Hung(Exception):
    """Time has passed in which nothing here ran."""


async def notice() -> None:
    """Take two seconds. Raises `Hung` if the process was suspended meanwhile."""
    for _ in range(40):
        before = time.monotonic()
        await asyncio.sleep(0.05)
        if time.monotonic() - before > 2:
            raise Hung


@job("faults.thaw")
async def thaw(number: int, then: str) -> None:
    """End, fail or give up as soon as the process runs on after it was suspended."""
    note("begin", number)
    try:
        await notice()
    except Hung:
        if then == "fail":
            raise
        if then == "give up":
            raise GiveUp("There is no such thing.") from None
    else:
        note("end", number)


@job("faults.steps", timeout=60)
async def steps(number: int) -> None:
    """Take eight seconds, without those in which the process is suspended."""
    note("begin", number)
    for _ in range(80):
        await asyncio.sleep(0.1)
    note("end", number)


@job("faults.overrun", timeout=4)
async def overrun(number: int) -> None:
    """Reach the time limit while the process is suspended."""
    note("begin", number)
    await asyncio.sleep(2)
    note("end", number)


@job("faults.complete", timeout=30)
async def complete(seconds: float) -> None:
    """Complete in a transaction that takes longer than a lease."""
    note("begin", "complete")
    async with completing() as session:
        await session.execute(text("SELECT 1"))
        await asyncio.sleep(seconds)
    note("end", "complete")


@job("faults.tick")
async def tick() -> None:
    """What the schedule of this worker enqueues."""
    note("begin", "tick")


if "NEWER" in os.environ:  # a release that knows one job more

    @job("faults.newer")
    async def newer() -> None:
        """What an older release does not know."""
        note("begin", "newer")


if "SKEW" in os.environ:  # a machine whose clock is wrong
    skew = timedelta(seconds=float(os.environ["SKEW"]))
    right = app.database.utcnow
    for module in [each for each in sys.modules.values() if getattr(each, "utcnow", None) is right]:
        setattr(module, "utcnow", lambda: datetime.now(UTC) + skew)  # noqa: B010

enqueue_due = ticks.enqueue_due
EVERY_MINUTE = {"faults.tick": Recurring("* * * * *", overlapping=False)}
ticks.enqueue_due = lambda database, schedule: enqueue_due(database, EVERY_MINUTE)
WorkerSettings = worker_settings(alone=True)
