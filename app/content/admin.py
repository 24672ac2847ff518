"""The editor of pages, under /admin/pages."""

import asyncio
from typing import Any

from quart import Blueprint, ResponseReturnValue, flash, redirect, render_template, url_for
from quart_schema import validate_querystring

from app.content import service
from app.content.difference import difference
from app.content.models import EDIT_PAGES
from app.content.rendering import render
from app.content.schemas import NewPage, PageForm, PageIn, require_slug
from app.content.views import ABOUT
from app.database import db
from app.keyset import ListQuery
from app.validators import Nothing
from app.web.access import limit, requires
from app.web.forms import Form, form
from app.web.identity import identity

admin = Blueprint("page_admin", __name__, url_prefix="/admin/pages")

edits = requires(EDIT_PAGES)

BOTH = ["GET", "POST"]


def shown_at(slug: str) -> str:
    """Return the url at which everybody sees a page."""
    return url_for("content.about") if slug == ABOUT else url_for("content.show", slug=slug)


@admin.get("")
@edits
@limit("PAGE_LIMIT")
@validate_querystring(ListQuery)
async def index(query_args: ListQuery) -> str:
    """List the pages."""
    async with db.session() as session:
        pages = await service.list_pages(session, query_args)
    return await render_template("content/index.html", page=pages, is_first=not query_args.cursor)


@admin.route("/new", methods=BOTH)
@edits
@limit("PAGE_LIMIT")
@form("content/new.html", NewPage)
async def new(data: NewPage) -> ResponseReturnValue:
    """Choose the address of a new page, and go on to write it."""
    async with db.session() as session:
        await service.require_free(session, data.slug)
    return redirect(url_for("page_admin.edit", slug=data.slug), 303)


async def _editor(slug: str) -> dict[str, Any]:
    require_slug(slug)
    async with db.session() as session:
        found = await service.find_page(session, slug)
    shown = {"slug": slug, "url": shown_at(slug), "newest": found, "version": 0}
    if found:
        shown |= {"title": found.title, "text": found.text, "version": found.number}
    return shown


@admin.route("/<slug>/edit", methods=BOTH)
@edits
@limit("PAGE_LIMIT")
@form("content/edit.html", PageForm, _editor)
async def edit(data: PageForm, slug: str) -> ResponseReturnValue:
    """Write a page: save it, or show how it would look.

    If somebody else has saved it meanwhile nothing is lost: the editor shows what differs.
    """
    if data.preview:
        return await _again(slug, data, preview=await asyncio.to_thread(render, data.text))
    page = PageIn(**data.model_dump(exclude={"preview"}))
    try:
        async with db.transaction() as session:
            await service.save_page(session, identity(), slug, page)
    except service.Conflict as error:
        return await _conflict(slug, data, error)
    await flash("The page is saved.", "success")
    return redirect(shown_at(slug), 303)


async def _conflict(slug: str, data: PageForm, error: service.Conflict) -> ResponseReturnValue:
    """Show the editor with what was typed, and how that differs from what is there now."""
    async with db.session() as session:
        theirs = await service.find_page(session, slug)
        row = await service.get_row(session, slug) if theirs else None
    # Whoever saves now has seen what is there.
    data.version = theirs.number if theirs else 0
    lines = await asyncio.to_thread(difference, theirs.text, data.text) if theirs else []
    return await _again(slug, data, error, lines=lines, theirs=row)


async def _again(
    slug: str, data: PageForm, error: service.Conflict | None = None, **context: Any
) -> ResponseReturnValue:
    shown = await _editor(slug)
    typed = Form(PageForm, **data.model_dump(exclude={"preview"}))
    typed.shown_to = str(identity().user_id)
    if error:
        typed.refuse(error)
    return await typed.page("content/edit.html", **shown, **context)


@admin.get("/<slug>/history")
@edits
@limit("PAGE_LIMIT")
@validate_querystring(ListQuery)
async def history(slug: str, query_args: ListQuery) -> str:
    """List the versions of a page."""
    async with db.session() as session:
        newest = await service.get_page(session, slug)
        versions = await service.list_versions(session, slug, query_args)
    return await render_template(
        "content/history.html",
        slug=slug,
        url=shown_at(slug),
        newest=newest,
        page=versions,
        is_first=not query_args.cursor,
    )


@admin.get("/<slug>/history/<int:number>")
@edits
@limit("PAGE_LIMIT")
async def version(slug: str, number: int) -> str:
    """Show a version of a page, and how the newest one differs from it."""
    async with db.session() as session:
        old = await service.get_page(session, slug, number)
        newest = await service.get_page(session, slug)
    lines = await asyncio.to_thread(difference, old.text, newest.text)
    html = await asyncio.to_thread(render, old.text)
    return await render_template(
        "content/version.html", slug=slug, old=old, newest=newest, lines=lines, html=html
    )


@admin.post("/<slug>/history/<int:number>/restore")
@edits
@limit("PAGE_LIMIT")
async def restore(slug: str, number: int) -> ResponseReturnValue:
    """Save an old version as the newest one."""
    async with db.transaction() as session:
        await service.restore_page(session, identity(), slug, number)
    await flash(f"The page is as it was in version {number}.", "success")
    return redirect(shown_at(slug), 303)


async def _page(slug: str) -> dict[str, Any]:
    async with db.session() as session:
        found = await service.get_page(session, slug)
    return {"page": found, "slug": slug, "url": shown_at(slug)}


@admin.route("/<slug>/delete", methods=BOTH)
@edits
@limit("PAGE_LIMIT")
@form("content/delete.html", Nothing, _page)
async def delete(data: Nothing, slug: str) -> ResponseReturnValue:
    """Delete a page with its history, once that is confirmed."""
    async with db.transaction() as session:
        await service.delete_page(session, identity(), slug)
    await flash("The page is deleted.", "success")
    return redirect(url_for("page_admin.index"), 303)
