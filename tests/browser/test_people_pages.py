"""The administration of people and roles in a real browser."""

from datetime import datetime

import pytest
from playwright.async_api import expect

from app.accounts import roles
from app.database import utcnow
from tests.browser.pages import NEW, Hands, Mailed, begin_session, new_address
from tests.factories.people import NUMBERS, PASSWORD, Person, make_person
from tests.factories.tokens import make_token

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("inside")]

LIST = "/admin/users"


async def administer(hands: Hands) -> Person:
    """Log somebody in who administers."""
    person = await make_person(role=roles.ADMINISTRATOR)
    await begin_session(hands.page, person)
    return person


async def somebody(confirmed: bool = True) -> Person:
    """Make a person whom a search by their first name finds alone."""
    return await make_person(first_name=f"Kim{next(NUMBERS)}x", confirmed=confirmed)


async def test_people_are_found_and_chosen(hands: Hands) -> None:
    await administer(hands)
    kim = await somebody()
    await hands.open(f"{LIST}?limit=5")
    await hands.look()
    await hands.fill("Name or address begins with", kim.first_name.upper())
    await hands.press("Show")
    await hands.sees(kim.email)
    await hands.look()
    await hands.tick(f"Choose {kim.first_name} Example")
    await hands.pick("With those that are chosen", "Disable")
    await hands.press("Go on")
    await hands.is_at("Disable these accounts?")
    await hands.sees(kim.email)
    await hands.look()
    await hands.press("Disable")
    await hands.is_at("1 person disabled")
    await hands.look()
    await hands.follow("Back to the list")
    await hands.open(f"{LIST}?q={kim.first_name}&state=disabled")
    await hands.sees(kim.email)
    await hands.open(f"{LIST}?q={kim.first_name}&state=active")
    await hands.sees("Nobody was found")
    await hands.look()


async def test_nothing_that_is_chosen_is_said_in_words(hands: Hands) -> None:
    await administer(hands)
    await hands.open(f"{LIST}?limit=2")
    await hands.press("Go on")
    await hands.is_at("People")
    await expect(hands.page.get_by_role("alert")).to_contain_text("Choose at least one person")


async def test_the_pages_of_the_list_and_its_order(hands: Hands) -> None:
    await administer(hands)
    for _ in range(3):
        await somebody()
    await hands.open(f"{LIST}?limit=2")
    first = await hands.main.locator("tbody th").all_inner_texts()
    await hands.follow("Next page")
    second = await hands.main.locator("tbody th").all_inner_texts()
    assert len(first) == len(second) == 2
    assert not set(first) & set(second)
    await hands.look()
    await hands.follow("First page")
    assert await hands.main.locator("tbody th").all_inner_texts() == first
    await hands.follow("Name")
    await expect(hands.main.locator("[aria-sort]")).to_have_text("Name")
    assert "sort=name" in hands.page.url


async def test_one_person_from_name_to_deletion(hands: Hands, mailed: Mailed, worker: None) -> None:
    await administer(hands)
    kim = await somebody()
    await hands.open(f"/admin/user/{kim.id}")
    await hands.look()
    await hands.follow("Change the name")
    await hands.fill("First name", "Sam")
    await hands.look()
    await hands.press("Save")
    await hands.is_at("Sam Example")
    await hands.follow("Change the role")
    await hands.pick("Role", "Administrator")
    await hands.look()
    await hands.press("Save")
    await hands.sees("Administrator")
    await mailed(kim.email, "Your role has been changed")
    address = new_address("sam")
    await hands.follow("Change the address")
    await hands.fill("New email address", address)
    await hands.look()
    await hands.press("Save")
    await hands.sees(address)
    await mailed(kim.email, "Your address has been changed")
    await mailed(address, "This is the address of your account now")
    await hands.follow("Disable")
    await hands.is_at("Disable Sam Example?")
    await hands.look()
    await hands.press("Disable")
    await hands.sees("Disabled")
    await mailed(address, "Your account has been disabled")
    await hands.press("Enable")
    await hands.sees("Active")
    await hands.follow("Delete")
    await hands.is_at("Delete Sam Example?")
    await hands.look()
    await hands.press("Delete")
    await hands.is_at("People")
    await mailed(address, "Your account has been deleted")


async def test_sessions_of_somebody_are_seen_and_ended(hands: Hands) -> None:
    await administer(hands)
    kim = await somebody()
    await make_token(kim.id, "read")
    other = await hands.page.context.browser.new_context(base_url=hands.page.url)  # type: ignore[union-attr]
    await hands.open(f"/admin/user/{kim.id}")
    answer = await other.request.post(
        hands.page.url.split("/admin")[0] + "/api/v1/session",
        data={"email": kim.email, "password": PASSWORD},
    )
    assert answer.status == 201
    await hands.open(f"/admin/user/{kim.id}")
    await hands.look()
    headings = hands.main.get_by_role("heading", level=2)
    await expect(headings).to_have_text(["Sessions", "API tokens"])
    token = hands.main.get_by_role("table", name="API tokens").get_by_role("row").last
    made = await token.get_by_role("cell").nth(1).locator("time").get_attribute("datetime")
    assert datetime.fromisoformat(str(made)) <= utcnow()
    await expect(hands.main.get_by_text("This device")).to_have_count(0)
    await hands.follow("End all sessions and tokens")
    await hands.is_at("End all sessions of")
    await hands.press("End them")
    await expect(headings).to_have_count(0)
    await other.close()


async def test_ones_own_page_leads_to_ones_own_account(hands: Hands) -> None:
    me = await administer(hands)
    await hands.open(f"/admin/user/{me.id}")
    await hands.sees("This is your own account")
    await expect(hands.link("Delete")).to_have_count(0)
    await expect(hands.main.get_by_role("rowheader").filter(has_text="This device")).to_have_count(
        1
    )
    await hands.look()
    await hands.follow("Your entries in the trail")
    await hands.is_at("Trail")


async def test_several_are_invited_once_the_lines_are_right(
    hands: Hands, mailed: Mailed, worker: None
) -> None:
    await administer(hands)
    first, second = new_address("robin"), new_address("kim")
    await hands.open("/admin/invite-people")
    await hands.look()
    lines = f"Robin Example <{first}>\nKim Example <{second}"
    await hands.field("A line for each person (optional)").fill(lines)
    await hands.press("Check")
    await hands.is_at("lines cannot be used")
    await hands.look()
    await hands.field("The lines").fill(f"{lines}>")
    await hands.press("Check again")
    await hands.is_at("Invite 2 people?")
    await hands.look()
    await hands.press("Invite them")
    await hands.is_at("People")
    await mailed(first, "You are invited to join")
    await mailed(second, "You are invited to join")


async def test_a_new_account_begins_with_a_password_of_ones_own(hands: Hands) -> None:
    await administer(hands)
    address = new_address("new")
    await hands.open("/admin/new-user")
    await hands.fill("First name", "Nova")
    await hands.fill("Last name", "Example")
    await hands.fill("Email address", address)
    await hands.fill("Password", PASSWORD)
    await hands.look()
    await hands.press("Make the account")
    await hands.is_at("Nova Example")
    await hands.sees("must choose another password")
    await hands.page.context.clear_cookies()
    await hands.open("/account/login")
    await hands.fill("Email address", address)
    await hands.fill("Password", PASSWORD)
    await hands.press("Log in")
    await hands.open("/account/manage")
    await hands.is_at("password")
    await hands.look()
    await hands.fill("Current password", PASSWORD)
    await hands.fill("New password", NEW)
    await hands.fill("Repeat password", NEW)
    await hands.press("Change password")
    await hands.open("/account/manage")
    await hands.sees(address)


async def test_a_role_from_its_making_to_its_deletion(hands: Hands) -> None:
    await administer(hands)
    name = f"Editor {next(NUMBERS)}"
    await hands.open("/admin/roles")
    await hands.look()
    await hands.follow("New role")
    await hands.look()
    await hands.fill("Name", name)
    await hands.pick("Landing page", "Account")
    await hands.press("Save")
    await hands.sees(name)
    await hands.follow(name)
    await hands.look()
    await hands.follow("Delete this role")
    await hands.look()
    await hands.press("Delete")
    await expect(hands.link(name)).to_have_count(0)


async def test_the_overview_and_the_jobs_lead_on(hands: Hands) -> None:
    await administer(hands)
    await hands.open("/admin")
    await hands.look()
    await hands.follow(hands.main.get_by_role("link", name="dead"))
    await hands.is_at("Jobs")
    await hands.look()
    await hands.open("/admin/jobs?state=done")
    await hands.look()
    job = hands.main.locator("tbody a").first
    if await job.count():
        await hands.follow(job)
        await hands.sees("Attempts")
        await hands.look()
