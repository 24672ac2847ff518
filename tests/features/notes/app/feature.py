"""What notes add: pages, API, a job, a menu entry and a card on the dashboard."""

from typing import Any

from quart import Quart

import app.notes.jobs  # noqa: F401  (declares the job)
from app.auth.identity import Identity
from app.database import db
from app.jobs.schedule import every
from app.notes import service
from app.notes.api import notes_api
from app.notes.views import notes
from app.web.dashboard import add_card
from app.web.menus import add_entry


def init_app(app: Quart) -> None:
    """Register the pages and the API of notes."""
    app.register_blueprint(notes)
    app.register_blueprint(notes_api)
    add_entry(app, "main", "Notes", "notes.index", shown_to=members)
    add_card(app, "notes/figures.html", count_notes)
    every(app, "41 3 * * *", "notes.archive_old")


def members(identity: Identity) -> bool:
    """Show an entry to whoever is signed in."""
    return identity.is_authenticated


async def count_notes() -> dict[str, Any]:
    """Count the notes for the dashboard."""
    async with db.session() as session:
        return {"notes": await service.count_notes(session)}
