"""Signs of life, of which the shared one is what probes and `arq --check` read."""

from quart import Quart

from app.jobs.engine.heartbeat import Heartbeat
from app.jobs.workers import SHARED_KEY, any_worker
from app.redis import redis


async def test_a_worker_that_stops_leaves_the_shared_sign_to_those_that_live(app: Quart) -> None:
    stays, leaves = Heartbeat(redis, "a:1:a", 15), Heartbeat(redis, "b:2:b", 15)
    await stays.start()
    await leaves.start()
    await redis.delete(SHARED_KEY)  # as arq does when a worker closes
    await leaves.stop()
    assert await any_worker(redis)
    await redis.delete(SHARED_KEY)
    await stays.stop()
    assert not await any_worker(redis)
