"""Which workers are alive: each keeps a key in Redis for as long as it runs."""

from arq.constants import default_queue_name, health_check_key_suffix
from redis.asyncio import Redis

# arq itself writes this key, shared by all workers, and `arq --check` reads it.
SHARED_KEY = default_queue_name + health_check_key_suffix
KEY_OF_ONE = SHARED_KEY + ":"


async def any_worker(redis: Redis) -> bool:
    """Tell whether some worker is alive: one look-up, cheap enough for every probe."""
    return bool(await redis.exists(SHARED_KEY))


async def workers(redis: Redis) -> list[str]:
    """List the workers that are alive, as host:process:random.

    Walks over all keys of the server, so it is too slow for probes.
    """
    keys = [key async for key in redis.scan_iter(match=f"{KEY_OF_ONE}*", count=1000)]
    return sorted(key.decode().removeprefix(KEY_OF_ONE) for key in keys)
