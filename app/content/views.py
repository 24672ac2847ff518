"""Editable pages, as everybody sees them."""

import asyncio

from quart import Blueprint, ResponseReturnValue, redirect, render_template, url_for

from app.content import service
from app.content.rendering import render
from app.database import db
from app.errors import NotFound
from app.web.access import limit, public

content = Blueprint("content", __name__, template_folder="templates")

ABOUT = "about"


@content.get("/about", endpoint="about")
@public
@limit("PAGE_LIMIT")
async def about() -> str:
    """Show the page "About", or say that nobody has written it yet."""
    return await _page(ABOUT)


@content.get("/pages/<slug>")
@public
@limit("PAGE_LIMIT")
async def show(slug: str) -> ResponseReturnValue:
    """Show a page."""
    if slug == ABOUT:
        return redirect(url_for("content.about"), 303)
    return await _page(slug)


async def _page(slug: str) -> str:
    async with db.session() as session:
        found = await service.find_page(session, slug)
    if found is None and slug != ABOUT:
        raise NotFound("This page does not exist.")
    html = await asyncio.to_thread(render, found.text) if found else ""
    return await render_template("content/page.html", slug=slug, page=found, html=html)
