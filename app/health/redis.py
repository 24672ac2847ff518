"""The probe of Redis."""

import asyncio

from redis.exceptions import NoPermissionError

from app.away import AWAY
from app.config import Config
from app.health.findings import CheckMessage, Outcome, Services, reason, why_away
from app.health.remedies import of_redis
from app.validators.redis_url import shown


async def redis(services: Services) -> list[Outcome]:
    """Check that Redis answers and lets us write and publish, which a ping would not show."""
    name = services.settings.redis_key("probe")
    try:
        async with asyncio.timeout(services.patience):
            await services.redis.set(name, b"", ex=60)
            await services.redis.publish(name, b"")
    except AWAY as error:
        url = shown(services.settings.REDIS_URL)
        message = f"Redis at {url} cannot be used: {reason(error)}."
        found = CheckMessage("qb.E004", message, _hint(error, services.settings))
        return [Outcome("redis", "degraded", why_away(error), found)]
    return [Outcome("redis", "ok", "answers")]


def _hint(error: BaseException, settings: Config) -> str:
    if settings.embedded_valkey:
        return "It runs while `python manage.py serve` does; or set REDIS_URL."
    if isinstance(error, NoPermissionError):
        prefix = settings.REDIS_PREFIX
        return (
            f"The user in REDIS_URL needs the keys ~{prefix}* and the channels &{prefix}*, or "
            "REDIS_PREFIX the beginning that its ACL allows; see docs/deploying.md."
        )
    if "certificate" in reason(error).lower():
        return (
            "If the server's certificate is self-signed, as Heroku's are, set "
            "REDIS_VERIFY_CERTIFICATE=false, or add ?ssl_ca_certs= and a file to REDIS_URL."
        )
    return of_redis(error)
