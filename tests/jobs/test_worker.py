"""The worker as arq runs it."""

import asyncio
import inspect
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from arq import constants
from arq.worker import Worker, create_worker
from quart import Quart
from redis.asyncio import Redis
from sqlalchemy import func, select

from app.auth.models import Credential, Purpose
from app.config import DAY
from app.database import db, utcnow
from app.environment import PROJECT_ROOT
from app.errors import NotReady
from app.jobs.workers import SHARED_KEY, identify_database, workers
from app.patches.lost_cancellations import end
from app.redis import redis, serialize, worker_redis
from app.worker import worker_settings
from development import embedded, valkey
from tests.factories.people import make_person
from tests.jobs.conftest import put, run_burst
from tests.processes import variables
from tests.servers import start_valkey


async def test_every_attribute_is_the_classs_own_and_one_that_arq_knows(app: Quart) -> None:
    known = inspect.signature(Worker).parameters
    own = {name for name in vars(worker_settings("testing")) if not name.startswith("__")}
    assert own <= known.keys()
    assert {
        "redis_pool",
        "functions",
        "on_startup",
        "health_check_key",
        "job_completion_wait",
    } <= own


async def test_arq_leaves_time_limits_to_the_engine(app: Quart) -> None:
    """Its own run on while the process is suspended."""
    [run] = vars(worker_settings("testing"))["functions"]
    assert run.timeout_s > DAY


def test_without_redis_and_what_development_brings_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("INSTANCE_PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "development.valkey", None)
    with pytest.raises(NotReady, match=r"Redis at unix://.* cannot be used: .*; or set REDIS_URL"):
        worker_settings("testing")


async def test_embedded_valkey_is_started_where_no_redis_is_configured(
    app: Quart, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("INSTANCE_PATH", str(tmp_path))
    try:
        worker_settings("testing")
        assert valkey.answers(tmp_path)
    finally:
        embedded.stop(tmp_path / "valkey.log")


async def test_expired_credentials_are_deleted(app: Quart) -> None:
    person = await make_person()
    past = utcnow() - timedelta(days=1)
    async with db.transaction() as session:
        session.add(
            Credential(
                purpose=Purpose.SESSION, digest=b"x" * 32, user_id=person.id, expires_at=past
            )
        )
    await put("accounts.delete_expired_credentials")
    await run_burst()
    async with db.session() as session:
        assert await session.scalar(select(func.count(Credential.id))) == 0


async def worker_with(payloads: dict[str, bytes]) -> Worker:
    """A worker in whose queue somebody has planted these; returns it after it has run them."""
    worker = create_worker(worker_settings("testing"), burst=True, handle_signals=False)
    for key, payload in payloads.items():
        await redis.set(f"{constants.job_key_prefix}{key}", payload)
        await redis.zadd(worker.queue_name, {key: 1})
    await worker.async_run()
    await worker.close()
    return worker


class Planted:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return os.path.join, (str(self.path), "x")


async def test_a_pickle_planted_in_redis_is_never_loaded(
    app: Quart, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded = []
    monkeypatch.setattr(pickle, "loads", lambda data: loaded.append(data))
    payload = pickle.dumps({"f": "run", "a": (Planted(tmp_path),), "k": {}, "t": 1, "et": 1})
    worker = await worker_with({"planted": payload})
    assert (worker.jobs_complete, worker.jobs_failed, loaded) == (0, 1, [])


async def test_a_malformed_payload_fails_once_and_the_worker_lives(app: Quart) -> None:
    malformed = (b'{"t":"x"}', b"[]", b'{"f":1,"a":[],"k":{},"t":1,"et":1}', b"null", b"\xff")
    worker = await worker_with({str(number): payload for number, payload in enumerate(malformed)})
    assert (worker.jobs_failed, await redis.zcard(worker.queue_name)) == (5, 0)


def test_payloads_are_json() -> None:
    assert (
        serialize({"a": [1, "ü"], "r": ValueError("x")})
        == b'{"a": [1, "\\u00fc"], "r": "ValueError(\'x\')"}'
    )


async def test_a_running_worker_is_seen_and_one_that_stops_is_not(app: Quart) -> None:
    configured = app.extensions["settings"]
    shared = configured.redis_key(SHARED_KEY)
    worker = create_worker(worker_settings("testing"), handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    async with asyncio.timeout(10):
        while not await redis.exists(shared) or not await workers(redis, configured):
            await asyncio.sleep(0.02)
    database = await identify_database(app.extensions["database"].engine)
    assert list((await workers(redis, configured)).values()) == [database]
    await end(running)
    await worker.close()
    assert not await redis.exists(shared)
    assert await workers(redis, configured) == {}


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("turns", range(6))
async def test_a_worker_stops_even_if_it_is_woken_at_that_moment(app: Quart, turns: int) -> None:
    worker = create_worker(worker_settings("testing"), handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    async with asyncio.timeout(30):  # on a busy machine its start takes a while
        while "runner" not in worker.ctx:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    worker.ctx["runner"].state.awake.set()
    for _ in range(turns):  # of the event loop
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await worker.ctx["runner"].stop()
        await end(running)
    del worker.ctx["runner"]
    await worker.close()


@pytest.mark.faults
@pytest.mark.waits
async def test_a_worker_that_misses_the_signal_to_stop_gets_another(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[bool] = []
    polling = asyncio.Event()

    async def poll(worker: Worker) -> None:
        polling.set()
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            if lost:
                raise
            lost.append(True)

    monkeypatch.setattr(Worker, "_poll_iteration", poll)
    worker = create_worker(worker_settings("testing"), handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    async with asyncio.timeout(20):
        await polling.wait()
    async with asyncio.timeout(5):
        worker.ctx["app"].extensions["draining"].set()
        worker.handle_sig(signal.SIGTERM)
        await asyncio.wait([running])
        await worker.close()
    assert lost


async def test_a_connection_that_is_lost_while_a_job_is_started_does_not_end_the_worker(
    app: Quart,
) -> None:
    worker = worker_redis(app.extensions["settings"], "queue", threading.Event())
    pipe: Any
    async with worker.pipeline(transaction=True) as pipe:  # these are arq's own steps
        await pipe.watch("key")
        assert await pipe.exists("key") == 0
        await redis.client_kill_filter(_id=await pipe.execute_command("CLIENT ID"))
        assert await pipe.zscore("queue", "job") is None
        await redis.client_kill_filter(_id=await pipe.execute_command("CLIENT ID"))
        pipe.multi()
        pipe.psetex("key", 1000, b"1")
        await pipe.execute()
    assert await redis.getdel("key") == b"1"
    await worker.aclose(close_connection_pool=True)


async def until_alive(client: Redis, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when a worker has written its heartbeat."""
    async with asyncio.timeout(20):
        while not await client.exists(f"qb-testing:{SHARED_KEY}"):
            assert process.poll() is None, log.read_text()
            await asyncio.sleep(0.05)


@pytest.mark.faults
@pytest.mark.waits
async def test_a_worker_waits_for_a_redis_that_is_away_and_can_be_stopped_meanwhile(
    app: Quart, tmp_path: Path
) -> None:
    server, socket = start_valkey(tmp_path)
    own = Redis(unix_socket_path=socket)
    env = variables(
        QUART_CONFIG="testing",
        TEST_DATABASE_URL=os.environ["TEST_DATABASE_URL"],
        REDIS_URL=f"unix://{socket}",
    )
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "arq", "worker.WorkerSettings"]
        process = subprocess.Popen(command, env=env, cwd=PROJECT_ROOT, stdout=output, stderr=output)
    try:
        await until_alive(own, process, log)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(1)
        assert process.poll() is None, "it waits for Redis to come back"
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 15)
    finally:
        process.kill()
        process.wait()
        await own.aclose()


@pytest.mark.faults
@pytest.mark.waits
async def test_the_plain_arq_command_starts_is_checked_and_stops(
    app: Quart, tmp_path: Path
) -> None:
    env = variables(
        QUART_CONFIG="testing",
        TEST_DATABASE_URL=os.environ["TEST_DATABASE_URL"],
        REDIS_URL=os.environ["REDIS_URL"],
    )
    arq = [str(Path(sys.executable).parent / "arq"), "worker.WorkerSettings"]
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(arq, env=env, cwd=PROJECT_ROOT, stdout=output, stderr=output)
    try:
        await until_alive(redis, process, log)
        check = await asyncio.to_thread(
            subprocess.run,
            [*arq, "--check"],
            env=env,
            cwd=PROJECT_ROOT,
            capture_output=True,
            check=False,
        )
        assert check.returncode == 0, check.stderr
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 10)
        assert time.monotonic() - started < 5
        assert await workers(redis, app.extensions["settings"]) == {}
    finally:
        process.kill()
        process.wait()
