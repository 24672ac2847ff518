"""The entries about one's own account."""

import asyncio

from quart import Blueprint, render_template
from quart_schema import validate_querystring

from app.audit import service
from app.audit.schemas import OwnEntries
from app.database import db
from app.keyset import ListQuery
from app.web.access import confirmed, limit
from app.web.identity import identity

audit = Blueprint("audit", __name__, template_folder="templates")


@audit.get("/account/activity")
@confirmed
@limit("PAGE_LIMIT")
@validate_querystring(ListQuery)
async def activity(query_args: ListQuery) -> str:
    """Show a user what they did, and what was done to their account."""
    async with db.session() as session:
        page = await service.own_entries(session, identity(), query_args)
    mine = await asyncio.to_thread(OwnEntries.of, page, identity().user_id)
    return await render_template("audit/activity.html", page=page, entries=mine.items)
