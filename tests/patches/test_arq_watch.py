"""A worker whose connection breaks while arq watches a job's key."""

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq import constants
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from app.config import load_settings
from app.patches.arq_watch import UnwatchedPipeline
from app.redis import deserialize, serialize, worker_redis

QUEUE = "test:watch"
JOB = "a-job"


async def run(ctx: dict[Any, Any]) -> str:
    return "done"


@pytest.fixture
async def redis() -> AsyncIterator[ArqRedis]:
    """Return the client that the application gives to arq, with its retries."""
    client = worker_redis(load_settings("testing"), QUEUE, threading.Event())
    yield client
    await client.flushdb()
    await client.aclose(close_connection_pool=True)


@pytest.fixture(autouse=True)
def break_connections(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Break a pipeline's connection whenever it has begun to watch."""
    broken: list[object] = []
    for pipeline in (Pipeline, UnwatchedPipeline):
        watch = pipeline.watch

        async def watch_and_break(self: Any, *names: Any, watch: Any = watch) -> Any:
            answer = await watch(self, *names)
            await redis.client_kill_filter(_id=await self.execute_command("CLIENT ID"))
            broken.append(names)
            return answer

        monkeypatch.setattr(pipeline, "watch", watch_and_break)
    return broken


async def start_a_job(redis: ArqRedis, client: ArqRedis) -> int:
    """Start a job as arq's worker does; return how many have run."""
    payload = serialize({"t": None, "f": "run", "a": [], "k": {}, "et": 1})
    await redis.set(f"{constants.job_key_prefix}{JOB}", payload)
    await redis.zadd(QUEUE, {JOB: 1})
    worker = Worker(
        [func(run, name="run")],
        redis_pool=client,
        queue_name=QUEUE,
        handle_signals=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    await worker.start_jobs([JOB.encode()])
    for task in worker.tasks.values():
        await task
    return worker.jobs_complete


async def test_arq_still_ends_when_a_connection_breaks_while_it_watches(
    redis: ArqRedis, break_connections: list[object]
) -> None:
    try:
        await start_a_job(redis, ArqRedis(redis.connection_pool))
    except WatchError:
        pass
    else:
        pytest.fail("delete app/patches/arq_watch.py: it is needed no more")
    assert break_connections


async def test_the_worker_outlives_a_connection_that_breaks_while_a_job_is_started(
    redis: ArqRedis, break_connections: list[object]
) -> None:
    assert await start_a_job(redis, redis) == 1
    assert break_connections


async def test_commands_after_multi_are_sent_together(redis: ArqRedis) -> None:
    pipe: Any
    async with redis.pipeline(transaction=True) as pipe:  # these are arq's own steps
        await pipe.watch("key")
        assert await pipe.exists("key") == 0
        assert await pipe.zscore("queue", "job") is None
        pipe.multi()
        pipe.psetex("key", 1000, b"1")
        assert await redis.get("key") is None
        await pipe.execute()
    assert await redis.get("key") == b"1"
