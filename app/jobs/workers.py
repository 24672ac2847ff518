"""Which workers are alive, and on which database.

Each worker keeps a key in Redis for as long as it runs. Its value is the identity of the worker's
database, so that workers of another installation that uses the same keys by mistake are not taken
for this one's.
"""

import hashlib
from pathlib import Path

from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import DAY, Config

# arq itself writes this key, shared by all workers, and `arq --check` reads it.
SHARED_KEY = "arq:queue:health-check"
KEY_OF_ONE = "worker:"
# The names of the workers, since a search for their keys would walk over all keys of the server.
NAMES_KEY = "workers"

DATABASE_OID = (
    "SELECT oid, has_function_privilege('pg_control_system()', 'EXECUTE') "
    "FROM pg_database WHERE datname = current_database()"
)
CLUSTER = "SELECT system_identifier FROM pg_control_system()"


async def write(redis: Redis, settings: Config, name: str, database: str, seconds: int) -> None:
    """Say that a worker is alive, for `seconds`, and which database it is on."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.set(settings.redis_key(KEY_OF_ONE + name), database, ex=seconds)
        pipe.sadd(settings.redis_key(NAMES_KEY), name)
        pipe.expire(settings.redis_key(NAMES_KEY), DAY)
        await pipe.execute()


async def remove(redis: Redis, settings: Config, *names: str) -> None:
    """Remove workers that have stopped."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.delete(*(settings.redis_key(KEY_OF_ONE + name) for name in names))
        pipe.srem(settings.redis_key(NAMES_KEY), *names)
        await pipe.execute()


async def workers(redis: Redis, settings: Config, *, prune: bool = False) -> dict[str, str]:
    """Return the workers that are alive, as host:process:random, with their databases.

    How long this takes depends on the number of workers alone. With `prune`, names of workers that
    were killed are removed.
    """
    members: set[bytes] = await redis.smembers(settings.redis_key(NAMES_KEY))  # type: ignore[misc]  # redis-py's hints cover both of its clients
    names = sorted(name.decode() for name in members)
    if not names:
        return {}
    databases = await redis.mget([settings.redis_key(KEY_OF_ONE + name) for name in names])
    found = dict(zip(names, databases, strict=True))
    dead = [name for name, database in found.items() if database is None]
    if prune and dead:
        await remove(redis, settings, *dead)
    return {name: database.decode() for name, database in found.items() if database is not None}


def of_others(alive: dict[str, str], database: str) -> list[str]:
    """Return those of these workers that are on another database than this one."""
    return [name for name, other in alive.items() if other != database]


async def identify_database(engine: AsyncEngine) -> str:
    """Return what tells this database from every other, copies of it included.

    On PostgreSQL that is the number of the cluster, which standbys share, and that of the database
    in it; on SQLite the file. Raises `OSError` or SQLAlchemy's errors when it cannot be reached.
    """
    if engine.dialect.name == "sqlite":
        where = _file(str(engine.url.database))
    else:
        async with engine.connect() as connection:
            oid, readable = (await connection.execute(text(DATABASE_OID))).one()
            # Some hosts keep the function from ordinary users.
            cluster = (await connection.execute(text(CLUSTER))).scalar_one() if readable else ""
        where = f"{cluster}/{oid}"
    return hashlib.sha256(where.encode()).hexdigest()[:16]


def _file(path: str) -> str:
    found = Path(path).stat()
    return f"{found.st_dev}/{found.st_ino}"
