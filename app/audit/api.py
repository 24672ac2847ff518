"""The trail as JSON, under /api/v1."""

import asyncio

from quart import Blueprint
from quart_schema import validate_querystring, validate_response

from app.audit import service
from app.audit.schemas import EntriesOut, EntryOut, OwnEntries, TrailQuery
from app.audit.service import UnknownPerson
from app.auth.models import Permission
from app.database import db
from app.keyset import ListQuery
from app.web.access import confirmed, limit, requires
from app.web.api import raises, tag
from app.web.identity import identity

audit_api = Blueprint("audit_api", __name__, url_prefix="/api/v1")
tag(audit_api, "trail", "The trail of who changed what.")


@audit_api.get("/trail")
@requires(Permission.ADMINISTER)
@limit("API_LIMIT")
@raises(UnknownPerson)
@validate_querystring(TrailQuery)
@validate_response(EntriesOut)
async def search_trail(query_args: TrailQuery) -> EntriesOut:
    """Search the trail by person, act and time, newest first."""
    async with db.session() as session:
        page = await service.search(session, query_args)
    return EntriesOut(items=[EntryOut.of(entry) for entry in page.items], next=page.next)


@audit_api.get("/account/activity")
@confirmed
@limit("API_LIMIT")
@validate_querystring(ListQuery)
@validate_response(OwnEntries)
async def own_activity(query_args: ListQuery) -> OwnEntries:
    """List what the caller did, and what was done to their account, newest first."""
    async with db.session() as session:
        page = await service.own_entries(session, identity(), query_args)
    return await asyncio.to_thread(OwnEntries.of, page, identity().user_id)
