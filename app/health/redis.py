"""The probe of Redis."""

import asyncio

from app.away import AWAY
from app.config import Config
from app.health.findings import CheckMessage, Outcome, Services, reason, why_away


async def redis(services: Services) -> list[Outcome]:
    """Check that Redis answers and accepts writes, which a ping would not show."""
    try:
        async with asyncio.timeout(services.patience):
            await services.redis.set("probe", b"", ex=60)
    except AWAY as error:
        shown = shown_redis(services.settings)
        hint = (
            "It runs while `python manage.py serve` does; or set REDIS_URL."
            if services.settings.embedded_valkey
            else "Is it running, and is REDIS_URL right?"
        )
        message = f"Redis at {shown} cannot be used: {reason(error)}."
        return [
            Outcome("redis", "degraded", why_away(error), CheckMessage("qb.E004", message, hint))
        ]
    return [Outcome("redis", "ok", "answers")]


def shown_redis(settings: Config) -> str:
    """Return the url of Redis without its password."""
    scheme, _, rest = settings.REDIS_URL.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1].partition('?')[0]}"
