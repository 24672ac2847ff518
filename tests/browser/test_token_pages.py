"""One's API tokens in a real browser: made, copied, shown once, used and ended."""

import os
import re
import shlex
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

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
from tests.factories.people import make_person
from tests.factories.tokens import bearer, make_token
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("inside")]

SECRET = re.compile(r"qb_[0-9A-Za-z]{49}")


async def status_with(page: Page, secret: str) -> int:
    """Ask the API as a program with this token, which has no cookies, does."""
    context = page.context.browser
    assert context
    other = await context.new_context(base_url=page.url)
    answer = await other.request.get("/api/v1/account", headers=bearer(secret))
    await other.close()
    return answer.status


async def test_a_token_is_made_used_and_ended(hands: Hands) -> None:
    await begin_session(hands.page, await make_person(email=new_address("robin")))
    await hands.open("/account/manage")
    await hands.follow("Tokens")
    await hands.is_at("Your API tokens")
    await hands.look()
    await hands.fill("Name", "Nightly export")
    await hands.press("Make the token")
    await hands.is_at("Copy your new token")
    await hands.look()
    secret = await hands.field("Nightly export").input_value()
    assert SECRET.fullmatch(secret)
    assert await status_with(hands.page, secret) == 200
    assert await hands.page.context.cookies() != []
    assert not [c for c in await hands.page.context.cookies() if "qb_" in str(c)]
    await hands.follow("I have copied it")
    await hands.is_at("Your API tokens")
    await hands.sees("Nightly export")
    assert "qb_" not in await hands.page.content()
    await hands.press("End the token Nightly export")
    await hands.sees("That token has ended.")
    assert await status_with(hands.page, secret) == 401


async def test_a_reload_neither_shows_it_again_nor_makes_another(hands: Hands) -> None:
    await begin_session(hands.page, await make_person(email=new_address("robin")))
    await hands.open("/account/tokens")
    await hands.fill("Name", "Nightly export")
    await hands.press("Make the token")
    await hands.is_at("Copy your new token")
    await hands.page.reload()
    await hands.is_at("Your API tokens")
    await hands.sees("This token has been made already")
    assert "qb_" not in await hands.page.content()
    await expect(hands.main.get_by_role("rowheader")).to_have_count(1)


async def test_it_is_copied_with_a_button(chromium: Browser, site: Served) -> None:
    async with page_of(chromium, site) as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await begin_session(page, await make_person(email=new_address("robin")))
        await page.goto("/account/tokens")
        await page.get_by_label("Name").fill("Nightly export")
        await page.get_by_role("button", name="Make the token").click()
        await page.get_by_role("button", name="Copy the token").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        secret = await page.get_by_label("Nightly export").input_value()
        assert await page.evaluate("navigator.clipboard.readText()") == secret
        await page.get_by_role("button", name="Copy the command").click()
        await expect(page.get_by_role("button", name="Copied")).to_have_count(2)
        command = shlex.split(await page.evaluate("navigator.clipboard.readText()"))
        assert command[:3] == ["curl", "-H", f"Authorization: Bearer {secret}"]
        assert command[3].endswith("/api/v1/account")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_its_pages_are_accessible_and_fit(
    chromium: Browser, site: Served, width: int, scheme: Any
) -> None:
    ada = await make_person(email=new_address("ada"), role=roles.ADMINISTRATOR)
    robin = await make_person(email=new_address("robin"))
    folder = os.environ.get("SHOTS")

    async with page_of(chromium, site, width=width, scheme=scheme) as page:

        async def look(name: str) -> None:
            assert await violations(page) == [], name
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, name
            if folder:
                path = f"{folder}/{name}-{width}-{scheme}.png"
                await page.screenshot(path=path, full_page=True)

        await begin_session(page, ada)
        await page.goto("/account/tokens")
        await look("none")
        for person in (ada, robin):
            await make_token(person.id, "read", "write")
            await status_with(page, await make_token(person.id, "read"))
        await page.goto("/account/tokens")
        await page.get_by_label("Name").fill("x" * 100)
        await page.get_by_label("Read:").uncheck()
        await page.get_by_role("button", name="Make the token").click()
        await look("mistake")
        await page.get_by_label("Read:").check()
        await page.get_by_label("Administer:").check()
        await page.get_by_role("button", name="Make the token").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Copy your new token")
        await look("made")
        await page.goto("/account/tokens")
        await look("list")
        await page.goto(f"/admin/user/{robin.id}")
        await look("person")
