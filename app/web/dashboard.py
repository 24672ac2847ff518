"""The administrators' first page: a card for each feature that registers one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from quart import Blueprint, Quart, current_app, render_template

from app.auth.models import Permission
from app.web.access import limit, requires
from app.web.menus import add_entry, administrators

dashboard = Blueprint("dashboard", __name__)


@dataclass(frozen=True, slots=True)
class Card:
    """A part of the page: a template, and a function that loads what it shows.

    What `load` returns under `summary` is a sentence below the page's title.
    """

    template: str
    load: Callable[[], Awaitable[dict[str, Any]]]


def add_card(app: Quart, template: str, load: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    """Append a card. A feature calls this from its `init_app`."""
    app.extensions["cards"].append(Card(template, load))


def init_app(app: Quart) -> None:
    """Serve the page, with no cards yet, and link to it."""
    app.extensions["cards"] = []
    app.register_blueprint(dashboard)
    add_entry(app, "main", "Administration", "dashboard.index", administrators, position=100)
    add_entry(app, "administration", "Overview", "dashboard.index", administrators)


@dashboard.get("/admin")
@requires(Permission.ADMINISTER)
@limit("PAGE_LIMIT")
async def index() -> str:
    """Show how everything is doing."""
    cards = [
        {"template": card.template} | await card.load() for card in current_app.extensions["cards"]
    ]
    return await render_template("dashboard.html", cards=cards)
