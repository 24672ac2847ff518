"""Editors for tests, and what they do."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from quart.wrappers import Response

from tests.factories.people import Person, log_in, make_person, make_role

API = "/api/v1/pages"


async def editor(app: Quart, first_name: str = "Kim") -> Browser:
    """Return the browser of somebody who may edit pages and nothing else."""
    return (await an_editor(app, first_name))[0]


async def an_editor(app: Quart, first_name: str = "Kim") -> tuple[Browser, Person]:
    """Return an editor's browser, and who they are."""
    person = await make_person(role=await make_role("pages.edit"), first_name=first_name)
    browser = app.test_client()
    await log_in(browser, person)
    return browser, person


async def put(browser: Browser, slug: str, text: str, version: int = 0, **more: Any) -> Response:
    """Save a page by the API."""
    body = {"title": "Our team", "text": text, "version": version} | more
    return await browser.put(f"{API}/{slug}", json=body)


async def post(browser: Browser, slug: str, text: str, version: int = 0, **more: Any) -> Response:
    """Save a page by its form."""
    fields = {"title": "Our team", "text": text, "version": str(version)} | more
    return await browser.post(f"/admin/pages/{slug}/edit", form=fields)


async def words(response: Response, status: int = 200) -> str:
    """Return the text of a response, which must have this status."""
    text = str(await response.get_data(as_text=True))
    assert response.status_code == status, text
    return text


async def page(browser: Browser, path: str, status: int = 200) -> str:
    """Return the text of a page."""
    return await words(await browser.get(path), status)


def begin(request: Coroutine[Any, Any, Response]) -> asyncio.Task[Response]:
    """Begin a request beside others: each needs a context of its own, as from a server."""
    return asyncio.create_task(request, context=contextvars.Context())
