"""Health for load balancers (/livez, /readyz) and for administrators (a card)."""

from typing import Any

from quart import Blueprint, Quart, ResponseReturnValue

from app.health import draining, probes
from app.web.access import unidentified, unlimited
from app.web.dashboard import add_card

health = Blueprint("health", __name__, template_folder="templates")


def init_app(app: Quart) -> None:
    """Serve /livez and /readyz, and add the card among those of the features."""
    draining.init_app(app)
    app.register_blueprint(health)
    add_card(app, "health/components.html", load_components, position=30)


async def load_components() -> dict[str, Any]:
    """Load the card: every component, and a sentence that sums them up."""
    found = await probes.ready()
    unwell = sum(outcome.state != "ok" for outcome in found)
    summary = "Everything works."
    if unwell:
        summary = (
            "One component needs attention."
            if unwell == 1
            else f"{unwell} components need attention."
        )
    return {"components": found, "summary": summary}


@health.get("/livez")
@unidentified
@unlimited
async def livez() -> ResponseReturnValue:
    """Answer 200 as long as the process runs. Asks no service."""
    return {"status": "ok"}


@health.get("/readyz")
@unidentified
@unlimited
async def readyz() -> ResponseReturnValue:
    """Answer 200 if requests may be sent here, 503 without a database or while draining."""
    found = await probes.ready()
    states = {outcome.state for outcome in found}
    if draining.is_draining():
        status = "draining"
    else:
        status = next((state for state in ("down", "degraded") if state in states), "ok")
    listed = [{"name": o.component, "state": o.state, "detail": o.detail} for o in found]
    return {"status": status, "components": listed}, 503 if status in ("draining", "down") else 200
