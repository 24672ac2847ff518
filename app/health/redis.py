"""The probe of Redis."""

import asyncio

from app.away import AWAY
from app.health.findings import CheckMessage, Outcome, Services, reason, why_away
from app.redis_url import shown


async def redis(services: Services) -> list[Outcome]:
    """Check that Redis answers and accepts writes, which a ping would not show."""
    try:
        async with asyncio.timeout(services.patience):
            await services.redis.set(services.settings.redis_key("probe"), b"", ex=60)
    except AWAY as error:
        url = shown(services.settings.REDIS_URL)
        hint = (
            "It runs while `python manage.py serve` does; or set REDIS_URL."
            if services.settings.embedded_valkey
            else "Is it running, and is REDIS_URL right?"
        )
        if "certificate" in reason(error).lower():
            hint = (
                "If the server's certificate is self-signed, as Heroku's are, add "
                "?ssl_cert_reqs=none to REDIS_URL, or ?ssl_ca_certs= and the certificate's file."
            )
        message = f"Redis at {url} cannot be used: {reason(error)}."
        return [
            Outcome("redis", "degraded", why_away(error), CheckMessage("qb.E004", message, hint))
        ]
    return [Outcome("redis", "ok", "answers")]
