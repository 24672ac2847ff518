"""The dashboard for administrators: one card for each feature that registers one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from quart import Blueprint, Quart, current_app, render_template

from app.auth.models import Permission
from app.web.access import limit, requires
from app.web.destinations import add_landing_page
from app.web.menus import add_entry, administrators

dashboard = Blueprint("dashboard", __name__)


@dataclass(frozen=True, slots=True)
class Card:
    """A part of the dashboard: a template, and a function that loads its context.

    If the context has a `summary`, that sentence is shown below the title of the page.
    """

    template: str
    load: Callable[[], Awaitable[dict[str, Any]]]
    position: int


def add_card(
    app: Quart, template: str, load: Callable[[], Awaitable[dict[str, Any]]], position: int = 50
) -> None:
    """Add a card to the dashboard, after those of a smaller or equal position.

    A feature calls this from its `init_app`.
    """
    cards = app.extensions["cards"]
    cards.append(Card(template, load, position))
    cards.sort(key=lambda card: card.position)


def init_app(app: Quart) -> None:
    """Serve the dashboard, without cards at first, and add it to the menus."""
    app.extensions["cards"] = []
    app.register_blueprint(dashboard)
    add_entry(app, "main", "Administration", "dashboard.index", administrators, position=100)
    add_entry(app, "administration", "Overview", "dashboard.index", administrators, position=0)
    add_landing_page(app, "admin", "Administration", "dashboard.index", Permission.ADMINISTER)


@dashboard.get("/admin")
@requires(Permission.ADMINISTER)
@limit("PAGE_LIMIT")
async def index() -> str:
    """Show every card."""
    cards = [
        {"template": card.template} | await card.load() for card in current_app.extensions["cards"]
    ]
    return await render_template("dashboard.html", cards=cards)
