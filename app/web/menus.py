"""Menus: features register entries, and the layout shows those that the user may see."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from quart import Quart, current_app, request, url_for

from app.auth.identity import Identity

# "person" is on the page on which administrators look after somebody.
Menu = Literal["main", "account", "administration", "footer", "person"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it was registered."""

    label: str
    endpoint: str
    shown_to: Callable[[Identity], bool]
    position: int


class Link(NamedTuple):
    """An entry as a page shows it."""

    label: str
    url: str
    current: bool


def everybody(identity: Identity) -> bool:
    """Show an entry to everybody."""
    return True


def administrators(identity: Identity) -> bool:
    """Show an entry to administrators."""
    return identity.is_admin


def add_entry(
    app: Quart,
    menu: Menu,
    label: str,
    endpoint: str,
    shown_to: Callable[[Identity], bool] = everybody,
    position: int = 50,
) -> None:
    """Add an entry to a menu, after those of a smaller or equal position.

    A feature calls this from its `init_app`. In the main menu the home page is at 0, the API at
    90 and administration at 100.
    """
    entries = app.extensions["menus"][menu]
    entries.append(Entry(label, endpoint, shown_to, position))
    entries.sort(key=lambda entry: entry.position)


def links(menu: Menu, identity: Identity, **arguments: Any) -> list[Link]:
    """Return the entries of a menu that this identity may see, with the current page marked.

    `arguments` are part of their urls: `person`, the id of the user, in the menu of a person.
    """
    current = request.endpoint
    return [
        Link(entry.label, url_for(entry.endpoint, **arguments), entry.endpoint == current)
        for entry in current_app.extensions["menus"][menu]
        if entry.shown_to(identity)
    ]


def init_app(app: Quart) -> None:
    """Start with empty menus."""
    app.extensions["menus"] = defaultdict(list)
