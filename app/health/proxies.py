"""The probe of reverse proxies."""

from app.health.findings import CheckMessage, Outcome, Services


async def proxies(services: Services) -> list[Outcome]:
    """Check that rate limits and logs see the clients' own ips."""
    settings = services.settings
    if not settings.PRODUCTION or not settings.secure or settings.TRUSTED_PROXIES:
        return []
    message = (
        "BASE_URL is https, so there is a proxy in front, but TRUSTED_PROXIES is 0: all clients "
        "appear to have its ip."
    )
    found = CheckMessage("qb.W001", message, "Set TRUSTED_PROXIES to the number of proxies.")
    return [Outcome("proxies", "degraded", "are not trusted", found)]
