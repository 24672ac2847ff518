"""What the trail adds: its pages, an API, a card, a part of the data export and its retention."""

from typing import Any

from quart import Quart

import app.audit.jobs  # noqa: F401  (declares the job)
from app.accounts.personal_data import add_export
from app.audit import service
from app.audit.admin import admin
from app.audit.api import audit_api
from app.audit.schemas import EntryOut, TrailQuery
from app.audit.views import audit
from app.database import db
from app.jobs.schedule import every
from app.web.dashboard import add_card
from app.web.menus import add_entry, administrators

NEWEST = 5  # entries on the dashboard


def init_app(app: Quart) -> None:
    """Register everything that the trail adds."""
    app.register_blueprint(audit)
    app.register_blueprint(admin)
    app.register_blueprint(audit_api)
    add_entry(app, "account", "Activity", "audit.activity", position=60)
    add_entry(app, "administration", "Trail", "audit_admin.index", administrators, position=60)
    add_entry(app, "person", "Their entries in the trail", "audit_admin.index")
    add_card(app, "audit/card.html", newest, position=90)
    add_export(app, "activity", service.export_own)
    every(app, "47 2 * * *", "audit.end_retention")


async def newest() -> dict[str, Any]:
    """Load the newest entries for the dashboard."""
    async with db.session() as session:
        page = await service.search(session, TrailQuery(limit=NEWEST))
    return {"entries": [EntryOut.of(entry) for entry in page.items]}
