"""The trail in a real browser: searched by an administrator, and one's own activity."""

import os
from typing import Any

import pytest
from playwright.async_api import Browser, expect
from quart import Quart

from app.accounts import roles
from tests.browser.pages import (
    SCHEMES,
    WIDTHS,
    Hands,
    begin_session,
    new_address,
    page_of,
    violations,
)
from tests.factories.people import Person, make_person
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("inside")]


@pytest.fixture
def needs_the_trail(same_site: Quart) -> None:
    """Skip the test where the feature is removed."""
    if "audit_admin.index" not in same_site.view_functions:
        pytest.skip("the feature audit is removed")


async def administrator() -> Person:
    return await make_person(email=new_address("ada"), role=roles.ADMINISTRATOR, first_name="Ada")


async def search(hands: Hands) -> None:
    """Press Enter in the field that was filled."""
    async with hands.page.expect_navigation():
        await hands.page.keyboard.press("Enter")


async def lists(hands: Hands, words: str) -> None:
    """Expect the table to contain these words."""
    await expect(hands.main.get_by_role("table").get_by_text(words).first).to_be_visible()


@pytest.mark.usefixtures("needs_the_trail")
async def test_a_person_is_searched_for_and_found(hands: Hands) -> None:
    """By their address, and on from entry to entry."""
    ada, robin = await administrator(), await make_person(email=new_address("robin"))
    await begin_session(hands.page, robin)
    await begin_session(hands.page, ada)
    await hands.open("/admin/audit")
    await hands.is_at("Trail")
    await hands.look()
    await hands.fill("Person: address or id", robin.email)
    await search(hands)
    await lists(hands, "Logged in")
    await expect(hands.field("Person: address or id")).to_have_value(robin.email)
    await expect(hands.main.get_by_role("rowheader")).to_have_count(1)
    await hands.look()
    found = hands.main.get_by_role("table").get_by_role("link", name="Robin Example").first
    await hands.open(str(await found.get_attribute("href")))
    await expect(hands.field("Person: address or id")).to_have_value(str(robin.id))
    await hands.open(f"/admin/user/{robin.id}")
    await hands.follow("Their entries in the trail")
    await hands.is_at("Trail")
    await lists(hands, "Logged in")


@pytest.mark.usefixtures("needs_the_trail")
async def test_what_cannot_be_found_is_said(hands: Hands) -> None:
    await begin_session(hands.page, await administrator())
    await hands.open("/admin/audit?before=2001-01-01")
    await hands.sees("Nothing that was done fits this search.")
    await hands.look()
    await hands.fill("Person: address or id", "nobody@example.com")
    await search(hands)
    await expect(hands.main.get_by_role("alert")).to_contain_text("No account has this address.")
    await expect(hands.field("Person: address or id")).to_be_focused()
    await expect(hands.field("Before (UTC)")).to_have_value("2001-01-01")
    await hands.look()


@pytest.mark.usefixtures("needs_the_trail")
async def test_ones_own_activity_is_on_ones_account(hands: Hands) -> None:
    robin = await make_person(email=new_address("robin"))
    await begin_session(hands.page, robin)
    await hands.open("/account/manage")
    await hands.follow("Activity")
    await hands.is_at("Your activity")
    await hands.sees("Logged in")
    await hands.sees("127.0.0.1")
    await hands.look()


@pytest.mark.usefixtures("needs_the_trail")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_its_pages_are_accessible_and_fit(
    chromium: Browser, site: Served, width: int, scheme: Any
) -> None:
    robin = await administrator()
    async with page_of(chromium, site, width=width, scheme=scheme) as page:
        await begin_session(page, robin)
        await page.request.patch(
            "/api/v1/account", data={"first_name": "Kim" * 21, "last_name": "Guest" * 12}
        )
        for path in ("/admin/audit", "/admin/audit?since=x", "/account/activity", "/admin"):
            await page.goto(path)
            assert await violations(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
            if folder := os.environ.get("SHOTS"):
                name = path.strip("/").replace("/", "-").replace("?", "-")
                await page.screenshot(path=f"{folder}/{name}-{width}-{scheme}.png", full_page=True)
