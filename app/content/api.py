"""Pages as JSON, under /api/v1."""

import asyncio

from quart import Blueprint, Response, ResponseReturnValue
from quart_schema import validate_querystring, validate_request, validate_response

from app.content import service
from app.content.models import EDIT_PAGES
from app.content.schemas import PageIn, PageOut, PageRows, Restored, require_slug
from app.content.service import Conflict, Deleted
from app.database import db
from app.keyset import ListQuery
from app.web.access import limit, public, requires
from app.web.api import if_match, raises, tag, with_etag
from app.web.identity import identity

content_api = Blueprint("content_api", __name__, url_prefix="/api/v1")
tag(content_api, "pages", "Editable pages and their history.")

edits = requires(EDIT_PAGES)


@content_api.get("/pages")
@edits
@limit("API_LIMIT")
@validate_querystring(ListQuery)
@validate_response(PageRows)
async def list_pages(query_args: ListQuery) -> PageRows:
    """List the pages."""
    async with db.session() as session:
        return await service.list_pages(session, query_args)


@content_api.get("/pages/<string:slug>")
@public
@limit("API_LIMIT")
@validate_response(PageOut)
@with_etag
async def get_page(slug: str) -> PageOut:
    """Return a page: its text in Markdown, and the HTML that is shown."""
    async with db.session() as session:
        found = await service.get_page(session, slug)
    return await asyncio.to_thread(PageOut.of, found)


@content_api.put("/pages/<string:slug>")
@edits
@limit("API_LIMIT")
@raises(Conflict, Deleted)
@validate_request(PageIn)
@validate_response(PageOut)
@with_etag
async def save_page(data: PageIn, slug: str) -> PageOut:
    """Save a page, or make a new one.

    `version` is the version that was edited, 0 for a new page. If somebody has saved a newer one
    since, nothing is saved and the answer is 409.
    """
    require_slug(slug)
    async with db.transaction() as session:
        found = await service.save_page(session, identity(), slug, data, if_match())
    return await asyncio.to_thread(PageOut.of, found)


@content_api.delete("/pages/<string:slug>")
@edits
@limit("API_LIMIT")
@with_etag
async def delete_page(slug: str) -> ResponseReturnValue:
    """Delete a page with its history."""
    async with db.transaction() as session:
        await service.delete_page(session, identity(), slug, if_match())
    return Response(status=204)


@content_api.get("/pages/<string:slug>/versions")
@edits
@limit("API_LIMIT")
@validate_querystring(ListQuery)
@validate_response(PageRows)
async def list_versions(slug: str, query_args: ListQuery) -> PageRows:
    """List the versions of a page, newest first."""
    async with db.session() as session:
        return await service.list_versions(session, slug, query_args)


@content_api.get("/pages/<string:slug>/versions/<int:number>")
@edits
@limit("API_LIMIT")
@validate_response(PageOut)
async def get_version(slug: str, number: int) -> PageOut:
    """Return a version of a page."""
    async with db.session() as session:
        found = await service.get_page(session, slug, number)
    return await asyncio.to_thread(PageOut.of, found)


@content_api.post("/pages/<string:slug>/restore")
@edits
@limit("API_LIMIT")
@validate_request(Restored)
@validate_response(PageOut)
@with_etag
async def restore_page(data: Restored, slug: str) -> PageOut:
    """Save an old version as the newest one."""
    async with db.transaction() as session:
        found = await service.restore_page(session, identity(), slug, data.version, if_match())
    return await asyncio.to_thread(PageOut.of, found)
