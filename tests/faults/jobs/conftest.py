"""Workers as processes of their own, and what their jobs leave behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from quart import Quart
from sqlalchemy import func, select

from app.database import db
from app.environment import PROJECT_ROOT
from app.jobs.models import Job, State
from app.jobs.queue import enqueue
from tests.conftest import MakeApp
from tests.processes import variables
from tests.servers import Server, start_valkey

LEASE = 3  # seconds


@dataclass
class Effect:
    """A line that a job has left."""

    event: str
    what: str
    pid: int
    at: float


class Stage:
    """A database, a Redis of its own, and workers to come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.effects_file = folder / "effects"
        self.effects_file.touch()
        self.valkey: Server | None = None
        self.ignored: Collection[signal.Signals] = ()  # by workers that are started from now on
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start_redis()

    def start_redis(self) -> None:
        socket = self.folder / "valkey.sock"
        socket.unlink(missing_ok=True)
        self.valkey, self.socket = start_valkey(self.folder)

    def kill_redis(self) -> None:
        """Without a chance to save anything."""
        assert self.valkey
        self.valkey.signal("KILL")
        self.valkey.stop()

    def signal_redis(self, number: signal.Signals) -> None:
        assert self.valkey
        self.valkey.signal(number.name[3:])

    def start_worker(
        self,
        module: str = "tests.faults.working",
        *,
        command: Sequence[str] = (),
        **more: str,
    ) -> subprocess.Popen[bytes]:
        settings = {
            "WORKER_LEASE": str(LEASE),
            "WORKER_SWEEP": "0.5",
            "JOB_BACKOFF": "0.5",
            "LOG_LEVEL": "INFO",
        }
        env = variables(
            QUART_CONFIG="testing",
            TEST_DATABASE_URL=os.environ["TEST_DATABASE_URL"],
            REDIS_URL=f"unix://{self.socket}",
            EFFECTS=str(self.effects_file),
            **settings | more,
        )
        with (self.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, *(command or ("-m", "arq", f"{module}.WorkerSettings"))],
                env=env,
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=log,
                preexec_fn=partial(listen, self.ignored),
            )
        self.workers.append(worker)
        return worker

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()

    def effects(self, event: str | None = None, what: str | None = None) -> list[Effect]:
        lines = [line.split() for line in self.effects_file.read_text().splitlines()]
        found = [Effect(event, what, int(pid), float(at)) for event, what, pid, at in lines]
        # What the schedule enqueues each minute is another story.
        return [
            e
            for e in found
            if event in (None, e.event) and (e.what == what or (not what and e.what != "tick"))
        ]

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
        if self.valkey:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.signal_redis(signal.SIGCONT)
            self.valkey.stop()


def listen(ignored: Collection[signal.Signals]) -> None:
    """Hear the signals that stop a process, however the tests were started."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN if each in ignored else signal.SIG_DFL)


@pytest.fixture
async def stage(
    app: Quart, make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """The stage, inside the context of an app that wakes its workers."""
    stage = Stage(tmp_path)
    monkeypatch.setenv("REDIS_URL", f"unix://{stage.socket}")
    monkeypatch.setenv("JOBS_OF_NEXT_RELEASE", "true")  # only the workers declare these jobs
    try:
        async with make_app().app_context():
            yield stage
    finally:
        await asyncio.to_thread(stage.end)


async def put(name: str, **args: object) -> None:
    async with db.transaction() as session:
        await enqueue(session, name, **args)  # type: ignore[arg-type]


async def count(*states: State) -> int:
    async with db.session() as session:
        query = select(func.count(Job.id)).where(Job.state.in_(states), Job.name != "faults.tick")
        return (await session.execute(query)).scalar_one()


async def until(condition: Callable[[], object], stage: Stage, seconds: float = 30) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if (await result) if asyncio.iscoroutine(result) else result:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"it did not happen within {seconds} s:\n{stage.log()[-4000:]}")


async def nothing_open() -> bool:
    return await count(State.WAITING, State.RUNNING) == 0
