"""Passwords, emails, names and invitations in a real browser, in every way of using one."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, expect
from sqlalchemy import update

from app.auth.models import Credential
from app.database import db, utcnow
from tests.browser.pages import (
    NEW,
    WEAK,
    WRONG,
    Hands,
    Mailed,
    begin_session,
    is_logged_out,
    may_log_in,
    new_address,
    page_of,
)
from tests.factories.people import invite, make_person
from tests.mail.captured import link_in
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("worker", "inside")]


async def test_a_forgotten_password_is_replaced(hands: Hands, mailed: Mailed) -> None:
    robin = await make_person()
    await hands.open("/account/login")
    await hands.follow("Forgot your password?")
    await hands.look()
    await hands.fill("Email address", robin.email)
    await hands.press("Send the link")
    await hands.sees(
        f"If there is an account for {robin.email}, it has an email with a link from us."
    )
    await hands.look()
    link = link_in(await mailed(robin.email, "Reset your password"))
    await hands.open(link)
    await hands.sees(robin.email)
    await hands.fill("New password", NEW)
    await hands.fill("Repeat password", WRONG)
    await hands.press("Save password")
    await hands.is_told("The passwords do not match.", about="Repeat password")
    await hands.look()
    await hands.choose("New password", NEW)
    await hands.press("Save password")
    await hands.sees("Your password has been reset. Log in with the new one.")
    await hands.fill("Email address", robin.email)
    await hands.fill("Password", NEW)
    await hands.press("Log in")
    await hands.is_at("Robin")
    await hands.open(link)
    await hands.is_at("no longer works")
    await hands.look()


async def test_a_password_is_changed(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    robin = await make_person()
    async with page_of(chromium, site) as elsewhere:
        await begin_session(elsewhere, robin)
        await begin_session(hands.page, robin)
        await hands.open("/")
        await hands.open_menu()
        await hands.follow(hands.page.get_by_role("link", name="Your account", exact=True))
        await hands.follow("Password")
        await hands.look()
        await hands.fill("Current password", WRONG)
        await hands.choose("New password", NEW)
        await hands.press("Change password")
        await hands.is_told("This is not your password.", about="Current password")
        await hands.look()
        await hands.fill("Current password", robin.password)
        await hands.choose("New password", NEW)
        await hands.press("Change password")
        await hands.sees("Your password has been changed. All other sessions have ended.")
        await hands.is_at("Your account")
        await hands.look()
        await is_logged_out(elsewhere)
    assert not await may_log_in(hands.page, robin.email, robin.password)
    assert await may_log_in(hands.page, robin.email, NEW)
    await mailed(robin.email, "Your password has been changed")


async def test_an_address_is_changed(hands: Hands, mailed: Mailed) -> None:
    robin, email = await make_person(), new_address("new")
    await begin_session(hands.page, robin)
    await hands.open("/account/manage")
    await hands.follow("Email")
    await hands.look()
    await hands.fill("New email address", email)
    await hands.fill("Password", WRONG)
    await hands.press("Send the link")
    await hands.is_told("This is not your password.", about="Password")
    await expect(hands.field("New email address")).to_have_value(email)
    await hands.look()
    await hands.fill("Password", robin.password)
    await hands.press("Send the link")
    await hands.sees(f"Almost done: open the link in the email we sent to {email}")
    await hands.sees(robin.email)  # until then
    await hands.open(link_in(await mailed(email, "Confirm your new email")))
    await hands.sees(email)
    await hands.look()
    await hands.press("Change my address")
    await hands.sees("Your email address has been changed. All other sessions have ended.")
    await hands.is_at("Your account")
    await hands.sees(email)
    await expect(hands.main.get_by_text(robin.email)).to_have_count(0)


async def test_an_invitation_is_accepted(hands: Hands, mailed: Mailed) -> None:
    email = new_address("kim")
    await invite(email)
    link = link_in(await mailed(email, "You are invited to join"))
    await hands.open(link)
    await hands.sees(email)
    await hands.look()
    await hands.choose("Password", WEAK)
    await hands.press("Join")
    await hands.is_told("This password is easy to guess.", about="Password")
    await hands.look()
    await hands.choose("Password", NEW)
    await hands.press("Join")
    await hands.sees("Welcome! Log in with your new password.")
    await hands.fill("Email address", email)
    await hands.fill("Password", NEW)
    await hands.press("Log in")
    await hands.is_at("Kim")


async def test_an_invitation_that_expired_is_sent_again(hands: Hands, mailed: Mailed) -> None:
    """Follow the expired link's page to the form for forgotten passwords."""
    email = new_address("kim")
    await invite(email)
    link = link_in(await mailed(email, "You are invited to join"))
    async with db.transaction() as session:
        await session.execute(
            update(Credential).where(Credential.email == email).values(expires_at=utcnow())
        )
    await hands.open(link)
    await hands.is_at("no longer works")
    await hands.sees("If you have no password yet")
    await hands.look()
    await hands.follow("Reset your password")
    await hands.fill("Email address", email)
    await hands.press("Send the link")
    await hands.sees("it has an email with a link from us")
    again = link_in(await mailed(email, "You are invited to join", number=2))
    assert again != link
    await hands.open(again)
    await hands.is_at("Welcome")
    await expect(hands.field("Password")).to_be_visible()


async def test_ones_name_is_changed(hands: Hands) -> None:
    robin = await make_person()
    await begin_session(hands.page, robin)
    await hands.open("/account/manage")
    await hands.sees(robin.email)
    await hands.look()
    await hands.fill("First name", " ")
    await hands.fill("Last name", "Kept")
    await hands.press("Save")
    await hands.is_told("This field is required.", about="First name")
    await expect(hands.field("Last name")).to_have_value("Kept")
    await hands.look()
    await hands.fill("First name", "Wren")
    await hands.press("Save")
    await hands.sees("Your name has been saved.")
    await expect(hands.field("First name")).to_have_value("Wren")
    await expect(hands.page.get_by_role("banner")).to_contain_text("Wren Kept")


async def test_registering_an_address_again_tells_its_owner_alone(
    hands: Hands, mailed: Mailed
) -> None:
    robin = await make_person()
    await hands.open("/account/register")
    await hands.fill("First name", "Somebody")
    await hands.fill("Last name", "Else")
    await hands.fill("Email address", robin.email)
    await hands.choose("Password", NEW)
    await hands.press("Register")
    await hands.sees(f"Almost done: open the link in the email we sent to {robin.email}")
    await hands.is_at("Log in")
    await hands.look()
    mail = await mailed(robin.email, "You already have an account")
    [log_in, reset] = [
        urlsplit(each).path for each in re.findall(r"http://localhost/account\S+", mail["text"])
    ]
    await hands.open(reset)
    await hands.is_at("Reset your password")
    await hands.open(log_in)
    await hands.fill("Email address", robin.email)
    await hands.fill("Password", robin.password)
    await hands.press("Log in")
    await hands.is_at("Robin")
    assert not await may_log_in(hands.page, robin.email, NEW)
