"""What stands in Redis, and what it can make a worker do."""

import asyncio
import json
import threading
from typing import Any

from quart import Quart

from app.jobs import queue
from app.jobs.engine.arq_queue import ArqQueue
from app.jobs.queue import job
from app.redis import redis, worker_redis
from tests.jobs.conftest import Work, put
from tests.jobs.declared import RAN


async def test_redis_holds_nothing_of_a_job(app: Quart) -> None:
    seen: list[bytes] = []

    @job("tests.look")
    async def look(secret: str) -> None:
        seen.extend([repr((key, await dump(key))).encode() async for key in redis.scan_iter()])

    async def dump(key: bytes) -> object:
        kind = await redis.type(key)
        if kind == b"string":
            return await redis.get(key)
        if kind == b"set":
            return [member async for member in redis.sscan_iter(key)]
        return await redis.zrange(key, 0, -1)

    from tests.jobs.conftest import run_burst

    identifier = await put("tests.look", secret="canary")
    await run_burst()
    assert seen, "among others the slot in which it ran"
    for word in (str(identifier), identifier.hex, "canary", "tests.look"):
        assert word.encode() not in b"".join(seen)
    del queue.KINDS["tests.look"]


async def test_a_message_planted_in_redis_runs_nothing(work: Work) -> None:
    @job("tests.planter")
    async def planter() -> None:
        [arq_queue] = [
            key
            async for key in redis.scan_iter("qb-testing:arq:queue:*")
            if await redis.type(key) == b"zset"
        ]
        for key, function in (("1:1", "run"), ("planted", "tests.note"), ("other", "run")):
            payload: dict[str, Any] = {"t": None, "f": function, "a": [key], "k": {}, "et": 1}
            await redis.set(f"qb-testing:arq:job:{key}", json.dumps(payload))
            await redis.zadd(arq_queue, {key: 1})
        await asyncio.sleep(0.2)

    await put("tests.planter")
    await work()
    assert RAN == []
    del queue.KINDS["tests.planter"]


async def test_slots_that_redis_has_forgotten_are_asked_for_again(app: Quart) -> None:
    client = worker_redis(app.extensions["settings"], "arq:queue:forgetful", threading.Event())
    arq_queue = ArqQueue(client)
    await arq_queue.open()
    await arq_queue.ask_for(["1", "2"], opened=[])
    name = client.default_queue_name
    keys = "qb-testing:arq:"
    assert await redis.zcard(name) == 3, "the sentinel is the third"
    await redis.delete(name, f"{keys}job:2")
    await redis.set(f"{keys}in-progress:2", b"1")  # a start whose answer was lost
    await arq_queue.ask_for(["2"], opened=["1"], again=True)
    assert await redis.zrange(name, 0, -1) == [b"2"]
    assert await redis.exists(f"{keys}job:2") == 1
    assert await redis.exists(f"{keys}in-progress:2") == 0
    await redis.delete(f"{keys}job:1", f"{keys}job:2")
    await arq_queue.delete()
    await client.aclose(close_connection_pool=True)
