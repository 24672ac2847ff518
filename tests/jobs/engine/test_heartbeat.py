"""Signs of life, which probes read, and the shared one, which `arq --check` reads."""

import logging

import pytest
from quart import Quart

from app.config import Config
from app.jobs.engine.heartbeat import Heartbeat
from app.jobs.workers import NAMES_KEY, SHARED_KEY, identify_database, workers, write
from app.redis import redis


async def test_a_worker_that_stops_leaves_the_shared_sign_to_those_that_live(
    app: Quart, settings: Config
) -> None:
    shared = settings.redis_key(SHARED_KEY)
    stays = Heartbeat(redis, settings, "a:1:a", "here")
    leaves = Heartbeat(redis, settings, "b:2:b", "here")
    await stays.start()
    await leaves.start()
    await redis.delete(shared)  # as arq does when a worker closes
    await leaves.stop()
    assert await redis.exists(shared)
    await redis.delete(shared)
    await stays.stop()
    assert not await redis.exists(shared)


async def test_a_worker_that_was_killed_is_forgotten(app: Quart, settings: Config) -> None:
    await write(redis, settings, "a:1:a", "here", 10)
    await redis.delete(settings.redis_key("worker:a:1:a"))  # as when its time is over
    lives = Heartbeat(redis, settings, "b:2:b", "here")
    await lives.start()
    assert await workers(redis, settings) == {"b:2:b": "here"}
    names = [name async for name in redis.sscan_iter(settings.redis_key(NAMES_KEY))]
    assert names == [b"b:2:b"]
    await lives.stop()
    assert await redis.keys() == []


async def test_workers_on_two_databases_say_so_once(
    app: Quart, settings: Config, caplog: pytest.LogCaptureFixture
) -> None:
    ours = Heartbeat(redis, settings, "a:1:a", "here")
    theirs = Heartbeat(redis, settings, "b:2:b", "there")
    await ours.start()
    await theirs.start()
    await ours._beat()
    await ours._beat()
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage().count("REDIS_PREFIX=qb-testing:") for record in logged] == [1, 1]
    assert ["a:1:a" in record.getMessage() for record in logged] == [True, False]
    await ours.stop()
    assert not await redis.exists(settings.redis_key(SHARED_KEY)), "the other is not one of ours"
    await theirs.stop()


async def test_each_database_has_an_identity_of_its_own(app: Quart) -> None:
    engine = app.extensions["database"].engine
    first = await identify_database(engine)
    assert first == await identify_database(engine)
    assert len(first) == 16
