"""What editors do with pages."""

from collections.abc import Awaitable, Callable
from typing import Any

from quart.typing import TestClientProtocol as Browser

from tests.accounts.surfaces import Request
from tests.scenes import Stage, scene

FIRST = {"title": "Rules", "text": "Be kind.", "version": 0}
SECOND = {"title": "Rules", "text": "Be kinder.", "version": 1}
PAGES = "/api/v1/pages/rules"


async def editor(stage: Stage, *versions: dict[str, Any]) -> Browser:
    """Return the browser of somebody who has written these versions of a page."""
    browser = await stage.administrator()
    for each in versions:
        assert (await browser.put(PAGES, json=each)).status_code == 200
    return browser


def on_page(
    method: str, path: str, fields: dict[str, Any] | None, *versions: dict[str, Any]
) -> Callable[[Stage], Awaitable[object]]:
    """Play what an editor does with a page of these versions."""

    async def play(stage: Stage) -> None:
        browser = await editor(stage, *versions)
        await stage.send(browser, Request(method, path, path.startswith("/admin"), fields))

    return play


EDIT, HISTORY = "/admin/pages/rules/edit", "/admin/pages/rules/history"

SCENES = [
    scene("page_admin.edit", "page.saved", on_page("POST", EDIT, FIRST)),
    scene("content_api.save_page", "page.saved", on_page("PUT", PAGES, SECOND, FIRST)),
    scene(
        "page_admin.restore",
        "page.restored",
        on_page("POST", f"{HISTORY}/1/restore", {}, FIRST, SECOND),
    ),
    scene(
        "content_api.restore_page",
        "page.restored",
        on_page("POST", f"{PAGES}/restore", {"version": 1}, FIRST, SECOND),
    ),
    scene(
        "page_admin.delete",
        "page.deleted",
        on_page("POST", "/admin/pages/rules/delete", {}, FIRST),
    ),
    scene("content_api.delete_page", "page.deleted", on_page("DELETE", PAGES, None, FIRST)),
]

NOTHING = {"page_admin.new": "leads to the editor of a page that is not there yet"}
