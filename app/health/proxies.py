"""The probe of reverse proxies: what web processes have seen of them lately."""

import asyncio
import time

from app.away import AWAY
from app.config import HOUR, MINUTE
from app.health.findings import CheckMessage, Outcome, Services
from app.web.middleware.sightings import HTTPS, SEEN_KEY, SIGNS

RECENT = HOUR
# Seconds. A fault is cured if its opposite was seen this much later: each is stored at most once a
# minute.
CURED = 2 * MINUTE


async def proxies(services: Services) -> list[Outcome]:
    """Check that rate limits, logs and the redirect to https see what clients really use."""
    settings = services.settings
    if not settings.PRODUCTION:
        return []
    seen = await _seen(services)
    found = [
        Outcome(
            "proxies",
            "degraded",
            "send too little or something odd",
            CheckMessage(
                sign.id,
                f"{sign.text.format(proxies=settings.TRUSTED_PROXIES)} "
                f"Last seen at {time.strftime('%H:%M', time.gmtime(seen[sign.name]))} UTC.",
                sign.hint,
            ),
        )
        for sign in SIGNS
        if time.time() - seen.get(sign.name, 0) < RECENT
        and seen[sign.name] + CURED > seen.get(sign.cured_by, 0)
    ]
    # With https and no proxies trusted, Hypercorn itself ends TLS.
    if found or HTTPS in seen or not settings.secure or settings.TRUSTED_PROXIES:
        return found
    message = (
        "BASE_URL is https, so there is a proxy in front, but TRUSTED_PROXIES is 0: all clients "
        "appear to have its ip."
    )
    missing = CheckMessage("qb.W001", message, "Set TRUSTED_PROXIES to the number of proxies.")
    return [Outcome("proxies", "degraded", "are not trusted", missing)]


async def _seen(services: Services) -> dict[str, int]:
    """Return when each thing was last seen, in seconds since 1970; nothing without Redis."""
    key = services.settings.redis_key(SEEN_KEY)
    try:
        async with asyncio.timeout(services.patience):
            stored: dict[bytes, bytes] = await services.redis.hgetall(key)  # type: ignore[misc]  # of both kinds of clients
    except AWAY:
        return {}
    return {name.decode(): int(when) for name, when in stored.items()}
