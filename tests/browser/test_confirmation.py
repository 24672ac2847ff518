"""Registering and confirming in a real browser: same browser, another device, a stranger first."""

import pytest
from playwright.async_api import Browser, Page, expect

from app.accounts import service
from app.database import db
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
from tests.factories.people import PASSWORD, Person, make_person
from tests.mail.captured import link_in
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("worker", "inside")]

CONFIRM, SET_UP = "Confirm your account", "Set up your account"
STRANGER = "Mallory"  # the name that somebody else types
CONFIRMED = "Your email address is confirmed."


async def register(hands: Hands, email: str, first_name: str = "Robin") -> None:
    """Fill the form and submit it."""
    await hands.open("/account/register")
    await hands.fill("First name", first_name)
    await hands.fill("Last name", "Example")
    await hands.fill("Email address", email)
    await hands.choose("Password", PASSWORD)
    await hands.press("Register")
    await hands.sees(f"Almost done: open the link in the email we sent to {email}.")


async def register_elsewhere(page: Page, email: str, first_name: str = STRANGER) -> None:
    """Register from another browser, by the API."""
    registration = {
        "email": email,
        "first_name": first_name,
        "last_name": first_name,
        "password": PASSWORD,
    }
    response = await page.request.post("/api/v1/account", data=registration)
    assert response.status == 202, await response.text()


async def set_up(hands: Hands, email: str) -> None:
    """Choose a name and a password on the page of a set-up."""
    await hands.is_at("Set up your account")
    await hands.sees(email)
    await hands.look()
    await hands.fill("First name", "Kim")
    await hands.fill("Last name", "Owner")
    await hands.choose("Password", WEAK)
    await hands.press("Set up my account")
    await hands.is_told("This password is easy to guess.", about="Password")
    await hands.look()
    await hands.choose("Password", NEW)
    await hands.press("Set up my account")
    await hands.is_at("Kim")
    await hands.sees("Welcome! Your account is ready.")


async def shows_nothing_of_a_stranger(hands: Hands) -> None:
    """Expect a page that holds no word of whoever registered the address."""
    assert STRANGER not in await hands.page.content()


async def test_in_the_same_browser_one_press_confirms_and_logs_in(
    hands: Hands, mailed: Mailed
) -> None:
    email = new_address("robin")
    await register(hands, email)
    mail = await mailed(email, CONFIRM)
    await hands.open(link_in(mail))
    await hands.sees(email)
    await expect(hands.main.get_by_role("textbox")).to_have_count(0)
    await hands.look()
    await hands.press("Confirm my address")
    await hands.is_at("Robin")
    await hands.sees(CONFIRMED)
    await hands.look()
    await hands.open(link_in(mail))
    await hands.is_at("no longer works")
    await hands.look()


async def test_whoever_is_signed_in_confirms_and_stays_so(hands: Hands, mailed: Mailed) -> None:
    email = new_address("robin")
    await register(hands, email)
    await begin_session(hands.page, Person(0, email, "Robin", PASSWORD))
    await hands.open("/")
    await hands.sees(f"We have sent an email to {email}.")
    await hands.look()
    await hands.open(link_in(await mailed(email, CONFIRM)))
    await hands.sees(email)
    await hands.look()
    await hands.press("Confirm my address")
    await hands.is_at("Robin")
    await hands.sees(CONFIRMED)


async def test_on_another_device_the_password_confirms_and_logs_in(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    email = new_address("robin")
    async with page_of(chromium, site) as elsewhere:
        await register_elsewhere(elsewhere, email)
    await hands.open(link_in(await mailed(email, CONFIRM)))
    await hands.sees(f"Somebody registered with {email}.")
    await shows_nothing_of_a_stranger(hands)
    await hands.look()
    await hands.fill("Password", WRONG)
    await hands.press("Confirm and log in")
    await hands.is_told("This is not your password.", about="Password")
    await shows_nothing_of_a_stranger(hands)
    await hands.look()
    await hands.fill("Password", PASSWORD)
    await hands.press("Confirm and log in")
    await hands.is_at(STRANGER)
    await hands.sees(CONFIRMED)


async def test_whoever_did_not_register_sets_up_an_account_of_their_own(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    email = new_address("kim")
    async with page_of(chromium, site) as stranger:
        await register_elsewhere(stranger, email)
        await begin_session(stranger, Person(0, email, STRANGER, PASSWORD))
        mail = await mailed(email, CONFIRM)
        assert STRANGER not in mail["subject"] + mail["text"] + mail["html"]
        await hands.open(link_in(mail))
        await hands.follow("Set up your account")
        await shows_nothing_of_a_stranger(hands)
        await set_up(hands, email)
        await shows_nothing_of_a_stranger(hands)
        await is_logged_out(stranger)
    assert not await may_log_in(hands.page, email, PASSWORD)
    assert await may_log_in(hands.page, email, NEW)


async def test_an_address_that_a_stranger_registered_first_is_set_up_by_its_owner(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    """The owner registers second, and is mailed a link to choose a name and a password."""
    email = new_address("kim")
    async with page_of(chromium, site) as stranger:
        await register_elsewhere(stranger, email)
        await mailed(email, CONFIRM)
    await register(hands, email, "Kim")
    mail = await mailed(email, SET_UP)
    assert STRANGER not in mail["subject"] + mail["text"] + mail["html"]
    await hands.open(link_in(mail))
    await shows_nothing_of_a_stranger(hands)
    await set_up(hands, email)
    assert not await may_log_in(hands.page, email, PASSWORD)


async def test_the_link_of_a_registration_that_is_gone_leads_to_a_new_one(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    email = new_address("kim")
    async with page_of(chromium, site) as elsewhere:
        await register_elsewhere(elsewhere, email)
        link = link_in(await mailed(email, CONFIRM))
        await begin_session(elsewhere, Person(0, email, STRANGER, PASSWORD))
        deletion = await elsewhere.request.post(
            "/api/v1/account/deletion", data={"password": PASSWORD}
        )
        assert deletion.status == 204, await deletion.text()
    await hands.open(link)
    await hands.sees(f"No account is waiting for {email} to be confirmed any more.")
    await expect(hands.field("Password")).to_have_count(0)
    await hands.look()
    await hands.follow("Set up your account")
    await set_up(hands, email)


async def test_resetting_the_password_of_an_unconfirmed_account_sets_it_up(
    hands: Hands, mailed: Mailed
) -> None:
    kim = await make_person(confirmed=False, first_name=STRANGER)
    await hands.open("/account/reset-password")
    await hands.fill("Email address", kim.email)
    await hands.press("Send the link")
    await hands.sees(f"If there is an account for {kim.email}, it has an email with a link from us")
    await hands.open(link_in(await mailed(kim.email, SET_UP)))
    await shows_nothing_of_a_stranger(hands)
    await set_up(hands, kim.email)
    assert not await may_log_in(hands.page, kim.email, PASSWORD)


async def test_confirming_in_the_browser_of_somebody_else_says_who_is_logged_out(
    hands: Hands, chromium: Browser, site: Served, mailed: Mailed
) -> None:
    email, bob = new_address("robin"), await make_person(first_name="Bob")
    async with page_of(chromium, site) as elsewhere:
        await register_elsewhere(elsewhere, email)
    link = link_in(await mailed(email, CONFIRM))
    await begin_session(hands.page, bob)
    await hands.open(link)
    await hands.sees(f"You are logged in as {bob.email} at the moment.")
    await hands.look()
    await hands.follow("Set up your account")
    await hands.sees(f"You are logged in as {bob.email} at the moment.")
    await hands.look()
    await hands.open(link)
    await hands.fill("Password", PASSWORD)
    await hands.press("Confirm and log in")
    await hands.is_at(STRANGER)
    await hands.sees(f"You are now logged in as {email}. {bob.email} has been logged out.")
    await hands.look()


async def test_the_link_of_a_disabled_account_works_no_more(hands: Hands, mailed: Mailed) -> None:
    email = new_address("kim")
    await register(hands, email)
    link = link_in(await mailed(email, CONFIRM))
    async with db.transaction() as session:
        user = await service.find_user(session, email)
        assert user
        await service.disable_user(session, user.id)
    await hands.open(link)
    await hands.is_at("no longer works")
