"""Health for machines (/livez, /readyz) and for administrators (a card on the dashboard)."""

from dataclasses import dataclass
from typing import Any

from quart import Blueprint, Quart, ResponseReturnValue

from app.health import draining, probes
from app.web.access import unidentified, unlimited
from app.web.dashboard import add_card

health = Blueprint("health", __name__, template_folder="templates")


def init_app(app: Quart) -> None:
    """Serve /livez and /readyz, and add the card below those of the features."""
    draining.init_app(app)
    app.register_blueprint(health)
    add_card(app, "health/components.html", load_components)


@dataclass(frozen=True, slots=True)
class Component:
    """A component as /readyz and the dashboard show it."""

    name: str
    state: probes.State
    detail: str


async def components() -> list[Component]:
    """Ask every probe of /readyz."""
    found = await probes.ready()
    return [Component(each.component, each.state, each.detail) for each in found]


async def load_components() -> dict[str, Any]:
    """Load the card: every component, and a sentence about all of them."""
    found = await components()
    ailing = sum(component.state != "ok" for component in found)
    summary = "Everything works."
    if ailing:
        summary = "One part needs a look." if ailing == 1 else f"{ailing} parts need a look."
    return {"components": found, "summary": summary}


@health.get("/livez")
@unidentified
@unlimited
async def livez() -> ResponseReturnValue:
    """Answer as long as the process runs; nothing else is asked."""
    return {"status": "ok"}


@health.get("/readyz")
@unidentified
@unlimited
async def readyz() -> ResponseReturnValue:
    """Say whether to send requests here: 503 without a database, or while the process stops."""
    found = await components()
    states = {component.state for component in found}
    if draining.is_draining():
        status = "draining"
    else:
        status = next((state for state in ("down", "degraded") if state in states), "ok")
    listed = [{"name": c.name, "state": c.state, "detail": c.detail} for c in found]
    return {"status": status, "components": listed}, 503 if status in ("draining", "down") else 200
