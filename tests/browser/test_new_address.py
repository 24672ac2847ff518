"""A new email address in a real browser: confirming it, and objecting to it."""

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.pages import (
    NEW,
    WRONG,
    Hands,
    Mailed,
    begin_session,
    is_logged_out,
    may_log_in,
    new_address,
    page_of,
)
from tests.factories.people import Person, make_person
from tests.mail.captured import link_in
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("worker", "inside")]

CONFIRM, NOTICE = "Confirm your new email", "Your email address is about to change"
LOST = "Your address is no longer used here"
CHANGED = "Your email address has been changed. All other sessions have ended."
OWNER = "Robin"  # whose name a page of the new address must not show to whoever reads its mail


async def ask(page: Page, robin: Person, email: str) -> None:
    """Ask for another address for somebody, by the API, in a browser that is signed in as them."""
    await begin_session(page, robin)
    asked = {"email": email, "password": robin.password}
    response = await page.request.post("/api/v1/account/email", data=asked)
    assert response.status == 202, await response.text()


async def confirm(page: Page, mail: dict[str, Any]) -> None:
    """Confirm the new address, by the API."""
    token = link_in(mail).rpartition("/")[2]
    response = await page.request.post("/api/v1/account/email/confirmation", data={"token": token})
    assert response.status == 200, await response.text()


async def test_on_another_device_the_password_changes_the_address_and_logs_in(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    robin, email = await make_person(first_name=OWNER), new_address("new")
    async with page_of(chromium, site) as elsewhere:
        await ask(elsewhere, robin, email)
        mail = await mailed(email, CONFIRM)
        assert not [word for word in (OWNER, robin.email) if word in mail["text"] + mail["html"]]
        await hands.open(link_in(mail))
        await hands.sees(email)
        assert not [word for word in (OWNER, robin.email) if word in await hands.page.content()]
        await hands.look()
        await hands.fill("Password", WRONG)
        await hands.press("Change my address")
        await hands.is_told("This is not your password.", about="Password")
        await hands.look()
        await hands.fill("Password", robin.password)
        await hands.press("Change my address")
        await hands.is_at("Your account")
        await hands.sees(CHANGED)
        await hands.sees(email)
        await hands.look()
        await is_logged_out(elsewhere)


async def test_somebody_signed_in_to_another_account_is_told_which(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    robin, email = await make_person(), new_address("new")
    bob = await make_person(first_name="Bob")
    async with page_of(chromium, site) as elsewhere:
        await ask(elsewhere, robin, email)
    link = link_in(await mailed(email, CONFIRM))
    await begin_session(hands.page, bob)
    await hands.open(link)
    await hands.sees(f"You are logged in as {bob.email} at the moment.")
    await hands.look()
    await hands.fill("Password", robin.password)
    await hands.press("Change my address")
    await hands.is_at("Your account")
    await hands.sees(f"You are now logged in as {email}. {bob.email} has been logged out.")
    assert await may_log_in(hands.page, bob.email, bob.password)


async def test_whoever_logs_out_and_opens_the_link_types_the_password(
    hands: Hands, mailed: Mailed
) -> None:
    robin, email = await make_person(), new_address("new")
    await ask(hands.page, robin, email)
    assert (await hands.page.request.delete("/api/v1/session")).status == 204
    await hands.open(link_in(await mailed(email, CONFIRM)))
    await hands.fill("Password", robin.password)
    await hands.press("Change my address")
    await hands.is_at("Your account")
    await hands.sees(CHANGED)


async def test_an_objection_before_the_change_cancels_it(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    robin, email = await make_person(), new_address("thief")
    async with page_of(chromium, site) as thief:
        await ask(thief, robin, email)
        await hands.open(link_in(await mailed(robin.email, NOTICE)))
        await hands.is_at("Keep your email address")
        await hands.sees(f"Your account keeps {robin.email}.")
        await hands.look()
        await hands.press("Keep my address")
        await hands.is_at("Choose a new password")
        await hands.look()
        await is_logged_out(thief)
        await thief.goto(link_in(await mailed(email, CONFIRM)))
        await expect(thief.get_by_role("heading", level=1)).to_contain_text("no longer works")
    await hands.choose("New password", NEW)
    await hands.press("Save password")
    assert await may_log_in(hands.page, robin.email, NEW)
    assert not await may_log_in(hands.page, robin.email, robin.password)


async def test_an_objection_after_the_change_says_who_loses_the_address_and_tells_them(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    robin, email = await make_person(first_name=OWNER), new_address("thief")
    async with page_of(chromium, site) as thief:
        await ask(thief, robin, email)
        await confirm(thief, await mailed(email, CONFIRM))
        await hands.open(link_in(await mailed(robin.email, NOTICE)))
        await hands.is_at("Undo the change of your email address")
        await hands.sees(f"Your account goes back from {email} to {robin.email}.")
        await hands.sees(f"The owner of {email} is told by email.")
        await hands.look()
        await hands.press("Undo the change")
        await hands.sees("everyone is logged out of your account. Now choose a new password.")
        await is_logged_out(thief)
    await hands.choose("New password", NEW)
    await hands.press("Save password")
    assert await may_log_in(hands.page, robin.email, NEW)
    assert not await may_log_in(hands.page, email, robin.password)
    lost = await mailed(email, LOST)
    assert not [word for word in (OWNER, robin.email) if word in lost["text"] + lost["html"]]
