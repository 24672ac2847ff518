"""Editable pages in a real browser, in every way of using one."""

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.pages import Hands, begin_session, page_of
from tests.factories.people import NUMBERS, make_person, make_role
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("inside")]

LONG = "Donaudampfschifffahrtsgesellschaft" * 5
TEXT = f"""# First

{LONG} and `{LONG}`

| {" | ".join(["A column"] * 12)} |
|{"---|" * 12}
| {" | ".join(["some words"] * 12)} |

    {LONG} {LONG}

<details><summary>More</summary>

> - deep
>   1. deeper

</details>

![A mark](/static/favicon.svg) ![Elsewhere](https://example.com/a.png)
"""


async def begin_editing(page: Page) -> None:
    """Log somebody in who may edit pages and nothing else."""
    await begin_session(page, await make_person(role=await make_role("pages.edit")))


async def save(page: Page, slug: str, text: str, version: int) -> None:
    """Save a page by the API, as somebody else would."""
    body = {"title": "Our team", "text": text, "version": version}
    response = await page.request.put(f"/api/v1/pages/{slug}", data=body)
    assert response.ok, await response.text()


async def test_a_page_is_written_looked_at_and_changed(hands: Hands) -> None:
    await begin_editing(hands.page)
    slug = f"team-{next(NUMBERS)}"
    await hands.open("/about")
    await hands.look()
    await hands.open("/admin/pages")
    await hands.look()
    await hands.follow("New page")
    await hands.fill("Address", "Our Team")
    await hands.press("Continue")
    await hands.is_told("Use small letters", about="Address")
    await hands.look()
    await hands.fill("Address", slug)
    await hands.press("Continue")
    await hands.is_at(f"New page: {slug}")
    await hands.fill("Title", "Our team")
    await hands.fill("Text", "We are *few*.")
    await hands.press("Preview")
    await expect(hands.main.locator(".prose em")).to_have_text("few")
    await hands.look()
    await hands.press("Save")
    await hands.sees("The page is saved.")
    await hands.is_at("Our team")
    await hands.look()
    await hands.follow("Edit this page")
    await expect(hands.field("Text")).to_have_value("We are *few*.")
    await hands.look()
    await hands.fill("Text", "We are *many*.")
    await save(hands.page, slug, "We are *some*.", 1)
    await hands.press("Save")
    await hands.sees("Somebody has saved this page since you opened it.")
    await expect(hands.field("Text")).to_have_value("We are *many*.")
    await expect(hands.main.locator("del strong")).to_have_text("some")
    await expect(hands.main.locator("ins strong")).to_have_text("many")
    await hands.look()
    await hands.press("Save mine")
    await expect(hands.main.locator(".prose em")).to_have_text("many")


async def test_an_older_version_is_restored_and_a_page_deleted(hands: Hands) -> None:
    await begin_editing(hands.page)
    slug = f"team-{next(NUMBERS)}"
    await save(hands.page, slug, "We are *few*.", 0)
    await save(hands.page, slug, "We are *many*.", 1)
    await hands.open(f"/admin/pages/{slug}/edit")
    await hands.follow("History")
    await hands.look()
    await hands.follow("Version\N{NO-BREAK SPACE}1")
    await expect(hands.main.locator("del strong")).to_have_text("few")
    await hands.look()
    await hands.press("Restore this version")
    await hands.sees("The page is as it was in version 1.")
    await expect(hands.main.locator(".prose em")).to_have_text("few")
    await hands.follow("Edit this page")
    await hands.follow("Delete")
    await hands.sees("its 3 versions")
    await hands.look()
    await hands.press("Delete")
    await hands.sees("The page is deleted.")


async def test_nothing_that_is_written_widens_a_page_or_runs(hands: Hands) -> None:
    await begin_editing(hands.page)
    slug = f"team-{next(NUMBERS)}"
    nasty = "\n\n<script>document.title = 'mine'</script><img alt='' src=/x onerror=alert(1)>"
    await save(hands.page, slug, TEXT + nasty, 0)
    await save(hands.page, slug, f"{LONG * 40}\n", 1)
    await hands.page.request.post(f"/api/v1/pages/{slug}/restore", data={"version": 1})
    for path in (f"/pages/{slug}", f"/admin/pages/{slug}/history/2"):
        await hands.open(path)
        await hands.look()
        assert "mine" not in await hands.page.title()


async def test_an_editor_finds_the_pages_in_the_menu(chromium: Browser, site: Served) -> None:
    async with page_of(chromium, site, width=375) as page:
        await begin_editing(page)
        await page.goto("/about")
        await page.locator("summary:visible").click()
        await page.get_by_role("link", name="Pages", exact=True).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Pages")
