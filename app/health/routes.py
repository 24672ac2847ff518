"""The probe of routes: each declares who may use it, and how often."""

from app.health.findings import CheckMessage, Outcome, Services
from app.web.access import declared


async def routes(services: Services) -> list[Outcome]:
    """Check that every route declares its access and its rate limit."""
    found = []
    if (app := services.app) is None:
        return []
    for rule in app.url_map.iter_rules():
        access, limit = declared(app.view_functions[rule.endpoint])
        missing = [name for name, value in (("access", access), ("limit", limit)) if value is None]
        if missing:
            message = (
                f"{rule.rule} ({rule.endpoint}) declares no {' and no '.join(missing)}, so it is "
                "refused."
            )
            hint = "Put a decorator of app.web.access on its view."
            found.append(
                Outcome(
                    "routes", "degraded", "one is closed", CheckMessage("qb.E006", message, hint)
                )
            )
    return found
