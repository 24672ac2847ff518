"""Signs of life, which probes read, and the shared one, which `arq --check` reads."""

import logging
import subprocess
from pathlib import Path

import pytest
from quart import Quart
from sqlalchemy import make_url, text

from app.config import Config
from app.database import create_engine, db
from app.jobs.engine.heartbeat import Heartbeat
from app.jobs.workers import NAMES_KEY, SHARED_KEY, identify_database, workers, write
from app.redis import redis
from app.validators.database_url import database_url
from tests.conftest import create_database


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


async def test_a_copy_of_a_database_is_another_one(
    app: Quart, backend: str, settings: Config, tmp_path: Path, worker_number: int
) -> None:
    engine = app.extensions["database"].engine
    first = await identify_database(engine)
    assert first == await identify_database(engine)
    assert first == await identify_database(create_engine(settings, for_requests=False))
    if backend == "sqlite":
        # By another process: closing the file in this one would drop SQLite's locks on it.
        copying = ["cp", str(engine.url.database), str(tmp_path / "copy.sqlite3")]
        subprocess.run(copying, check=True)
        url = f"sqlite+aiosqlite:///{tmp_path / 'copy.sqlite3'}"
    else:
        url = database_url(await create_database(f"test_copy_{worker_number}"))
    copy = create_engine(settings.model_copy(update={"DATABASE_URL": url}), for_requests=False)
    assert first != await identify_database(copy)


async def test_where_the_number_of_the_cluster_is_kept_secret_that_of_the_database_will_do(
    app: Quart, backend: str, settings: Config
) -> None:
    if backend == "sqlite":
        pytest.skip("it has no users")
    async with db.transaction() as session:
        await session.execute(text("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"))
        await session.execute(text("DROP ROLE IF EXISTS plain"))
        await session.execute(text("CREATE ROLE plain LOGIN"))
    url = make_url(settings.DATABASE_URL).set(username="plain")
    plain = {"DATABASE_URL": url.render_as_string(hide_password=False)}
    engine = create_engine(settings.model_copy(update=plain), for_requests=False)
    try:
        assert len(await identify_database(engine)) == 16
    finally:
        async with db.transaction() as session:
            await session.execute(text("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC"))
            await session.execute(text("DROP ROLE plain"))
