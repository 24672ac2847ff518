"""Everything that goes wrong with jobs, at once, while people enqueue them."""

import asyncio
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import URL, select, text

from app import application, migrations
from app.away import DATABASE_AWAY
from app.config import load_settings
from app.database import db
from app.jobs.models import Job, State
from app.jobs.queue import enqueue
from tests.faults.jobs.conftest import LEASE, Stage, count, nothing_open, until
from tests.servers import Server, start_postgresql

pytestmark = [pytest.mark.faults, pytest.mark.waits]

JOBS = 600


def main_process(server: Server) -> int:
    """Return the server's process, whose parent is a shell."""
    return children(server.process.pid)[0]


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(each) for each in found.split()]


class Storm(Stage):
    """A stage with a PostgreSQL of its own, and supervisors that start workers again."""

    def __init__(self, folder: Path, shared: Path) -> None:
        super().__init__(folder)
        self.shared = shared  # where the database's user can enter
        self.postgresql, self.home = start_postgresql(shared, durable=True)
        self.committed: set[str] = set()
        self.unknown: set[str] = set()  # the answer to their commit was lost
        self.locked: set[str] = set()
        self.killed: set[int] = set()

    async def keep_workers(self, number: int) -> None:
        """Start a worker for each that has ended, as supervisors do."""
        while True:
            running = [worker for worker in self.workers if worker.poll() is None]
            for _ in range(number - len(running)):
                self.start_worker(WORKER_MAX_JOBS="6")
            await asyncio.sleep(0.2)

    async def enqueue_all(self) -> None:
        """Enqueue jobs one by one; every tenth transaction rolls back."""
        for number in range(JOBS):
            name = str(number)
            rolls_back = number % 10 == 9
            try:
                async with db.transaction() as session:
                    await enqueue(session, "faults.work", number=number, seconds=0.1)
                    if rolls_back:
                        raise ZeroDivisionError
                    self.unknown.add(name)
                self.unknown.remove(name)
                self.committed.add(name)
            except ZeroDivisionError:
                pass
            except DATABASE_AWAY:
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.04)

    def kill_worker(self) -> None:
        """Kill one of the workers that run."""
        victim = random.choice([worker for worker in self.workers if worker.poll() is None])
        victim.kill()
        self.killed.add(victim.pid)

    async def restart_postgresql(self) -> None:
        """Have it end all connections at once, and start again."""
        self.postgresql.signal("QUIT")
        await asyncio.to_thread(self.postgresql.stop)
        self.postgresql, _ = await asyncio.to_thread(start_postgresql, self.shared, durable=True)

    async def freeze(self, process: int, seconds: float) -> None:
        """Stop a process and its children for some time."""
        found = [process, *children(process)]
        for each in found:
            os.kill(each, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        for each in found:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)

    async def lock_a_job(self, seconds: float) -> None:
        """Hold the row of a job that runs."""
        running = select(Job).where(Job.state == State.RUNNING, Job.name == "faults.work")
        with suppress(*DATABASE_AWAY):
            async with db.session() as session:
                # Longer than a request may.
                await session.execute(text("SET idle_in_transaction_session_timeout = 0"))
                while not (
                    job := (
                        await session.execute(running.limit(1).with_for_update(skip_locked=True))
                    ).scalar()
                ):
                    await session.rollback()
                    await asyncio.sleep(0.02)
                self.locked.add(str(job.args["number"]))
                await asyncio.sleep(seconds)

    async def forget(self) -> None:
        """Delete everything in Redis."""
        client = Redis(unix_socket_path=self.socket)
        await client.flushall()
        await client.aclose()

    async def replace_redis(self) -> None:
        """Kill Redis, which saves nothing, and start it anew."""
        await asyncio.to_thread(self.kill_redis)
        await asyncio.sleep(1)
        self.start_redis()

    def end(self) -> None:
        super().end()
        with suppress(ProcessLookupError, OSError):
            self.postgresql.stop()


@pytest.fixture
async def storm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storm]:
    shared = Path(tempfile.mkdtemp(dir=os.environ["TEST_FOLDER"]))
    shared.chmod(0o755)
    storm = Storm(tmp_path, shared)
    admin = await asyncpg.connect(host=storm.home, user="postgres", database="postgres")
    await admin.execute("CREATE DATABASE test")
    await admin.close()
    url = URL.create("postgresql", "postgres", database="test", query={"host": storm.home})
    monkeypatch.setenv("TEST_DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("REDIS_URL", f"unix://{storm.socket}")
    monkeypatch.setenv("JOBS_OF_NEXT_RELEASE", "true")
    await migrations.upgrade(load_settings("testing"))
    try:
        async with application("testing"):
            yield storm
    finally:
        await asyncio.to_thread(storm.end)


async def test_all_at_once_loses_nothing_and_does_nothing_twice(storm: Storm) -> None:
    supervisors = asyncio.create_task(storm.keep_workers(3))
    people = asyncio.create_task(storm.enqueue_all())
    await until(lambda: len(storm.effects("end")) > 5, storm)
    async with db.transaction() as session:
        await enqueue(session, "faults.hang", number=1)
    holding = asyncio.create_task(storm.lock_a_job(LEASE * 3))
    await until(lambda: storm.locked, storm)
    storm.kill_worker()
    await asyncio.sleep(1)
    await storm.forget()
    await storm.replace_redis()
    storm.kill_worker()
    assert storm.valkey
    await storm.freeze(main_process(storm.valkey), 2)
    await holding
    await storm.freeze(main_process(storm.postgresql), LEASE / 3)
    storm.kill_worker()
    await asyncio.sleep(1)
    await storm.restart_postgresql()
    await asyncio.sleep(1)
    storm.kill_worker()
    await people
    await until(nothing_open, storm, 90)
    supervisors.cancel()
    assert len(storm.committed) > JOBS / 2
    ended = storm.effects("end")
    done = {effect.what for effect in ended}
    assert storm.committed <= done, "none is lost"
    assert done <= storm.committed | storm.unknown, "none was rolled back"
    for what, times in Counter(effect.what for effect in ended).items():
        first, *_ = [effect for effect in ended if effect.what == what]
        assert times == 1 or first.pid in storm.killed or what in storm.locked, (
            f"{what} was done {times} times, first by {first.pid}, killed {storm.killed}:\n"
            + storm.log()[-3000:]
        )
    assert await count(State.DONE) == len(done)
    assert await count(State.DEAD) == 1, "the one that hung"
