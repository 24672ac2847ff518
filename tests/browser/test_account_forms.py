"""The forms of accounts in a real browser: what they keep, and the strength meter."""

import pytest
from playwright.async_api import Browser, Page, Request, Route, expect

from app.accounts import links
from app.auth.models import Purpose, User
from app.database import db
from app.validators.email_address import email_address
from tests.browser.pages import (
    NEW,
    WEAK,
    WRONG,
    Hands,
    Keyboard,
    address,
    begin_session,
    new_address,
    page_of,
)
from tests.factories.people import PASSWORD, make_person
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("inside")]

STRENGTH = "/api/v1/password-strength"

FORMS: dict[str, tuple[str, dict[str, str | bool], str]] = {
    "log in": (
        "/account/login",
        {"Email address": "somebody@example.com", "Password": WRONG, "Keep me logged in": True},
        "Log in",
    ),
    "register": (
        "/account/register",
        {
            "First name": "Robin",
            "Last name": "Example",
            "Email address": "somebody@example.com",
            "Password": NEW,
            "Repeat password": WRONG,
        },
        "Register",
    ),
    "forgotten password": (
        "/account/reset-password",
        {"Email address": "nobody"},
        "Send the link",
    ),
    "reset": (
        "/account/reset-password/{reset}",
        {"New password": WEAK, "Repeat password": WEAK},
        "Save password",
    ),
    "invitation": (
        "/account/join-from-invite/{invite}",
        {"Password": NEW, "Repeat password": WRONG},
        "Join",
    ),
    "confirmation": (
        "/account/confirm-account/{confirm}",
        {"Password": WRONG},
        "Confirm and log in",
    ),
    "set-up": (
        "/account/set-up/{confirm}",
        {
            "First name": "Kim",
            "Last name": "Owner",
            "Password": NEW,
            "Repeat password": WRONG,
        },
        "Set up my account",
    ),
    "new address": (
        "/account/manage/change-email/{change_email}",
        {"Password": WRONG},
        "Change my address",
    ),
    "name": ("/account/manage", {"First name": "Somebody", "Last name": " "}, "Save"),
    "password": (
        "/account/manage/change-password",
        {"Current password": PASSWORD, "New password": WEAK, "Repeat password": WEAK},
        "Change password",
    ),
    "address": (
        "/account/manage/change-email",
        {"New email address": "somebody@example.com", "Password": WRONG},
        "Send the link",
    ),
    "password once more": ("/account/reauthenticate", {"Password": WRONG}, "Continue"),
    "deletion": ("/account/delete", {"Password": WRONG}, "Delete my account"),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_form_that_failed_keeps_all_but_passwords(
    chromium: Browser, site: Served, name: str
) -> None:
    path, typed, button = FORMS[name]
    robin, kim = await make_person(), await make_person(confirmed=False)
    async with db.transaction() as session:
        user = await session.get_one(User, robin.id)
        secrets = {
            kind: links.new_link(session, Purpose(kind), user.address, user_id=user.id)
            for kind in ("reset", "invite", "change_email")
        }
        secrets["confirm"] = links.new_link(
            session, Purpose.CONFIRM, email_address(kim.email), user_id=None, registration=kim.id
        )
    async with page_of(chromium, site) as page:
        hands = Hands(page, javascript=True)
        if name not in ("log in", "register", "forgotten password", "confirmation", "new address"):
            await begin_session(page, robin)
        await hands.open(path.format(**secrets))
        await hands.main.locator("form").evaluate_all(
            "forms => forms.forEach(form => form.noValidate = true)"
        )
        for label, text in typed.items():
            await (hands.field(label).check() if text is True else hands.fill(label, str(text)))
        came_back = await hands.press(button)
        assert came_back.request.method == "POST"
        assert 400 <= came_back.status < 500
        html = await came_back.text()
        assert [text for text in (NEW, WRONG, WEAK, PASSWORD) if text in html] == []
        for label, text in typed.items():
            field = hands.field(label)
            if text is True:
                await expect(field).to_be_checked()
            else:
                await expect(field).to_have_value("" if "assword" in label else str(text))
        wrong = page.locator("[aria-invalid=true]")
        await expect(
            wrong.first if await wrong.count() else page.locator("input[type=password]")
        ).to_be_focused()


def asks(page: Page) -> list[Request]:
    """Record every request of a page from now on."""
    found: list[Request] = []
    page.on("request", lambda request: found.append(request))
    return found


async def test_the_strength_of_a_password_is_asked_of_this_server_alone(
    chromium: Browser, site: Served
) -> None:
    async with page_of(chromium, site) as page:
        hands = Keyboard(page, javascript=True)
        await hands.open("/account/register")
        meter, words = page.locator("meter"), hands.main.get_by_role("status")
        asked = asks(page)
        await hands.fill("First name", "Robin")
        await hands.fill("Last name", "Turnip")
        await hands.fill("Email address", "robin@example.com")
        assert asked == []
        await expect(meter).to_be_hidden()
        await hands.fill("Password", WEAK)
        await expect(words).to_contain_text("This password is easy to guess.")
        await hands.look()
        await hands.fill("Password", "Turnip Robin Turnip Robin")
        await expect(words).to_contain_text("Your own name and email address are easy to guess.")
        await hands.fill("Password", PASSWORD)
        await expect(words).to_have_text("This password is hard to guess.")
        await expect(meter).to_be_visible()
        assert float(await meter.evaluate("e => e.value")) >= 3
        await hands.look()
        assert {(each.method, each.url) for each in asked} == {
            ("POST", f"{address(site)}{STRENGTH}")
        }
        assert PASSWORD in str(asked[-1].post_data)
        await hands.page.keyboard.press("Control+A")
        await hands.page.keyboard.press("Delete")
        await expect(meter).to_be_hidden()
        await expect(words).to_be_empty()
        await hands.choose("Password", PASSWORD)
        await hands.press("Register")
        await hands.sees("Almost done")
        assert [each.url for each in asked if not each.url.startswith(f"{address(site)}/")] == []
        assert [each.url for each in asked if "violet" in each.url] == []


@pytest.mark.parametrize("failure", ["unreachable", "503", "not JSON"])
async def test_without_an_answer_about_the_strength_the_form_works(
    chromium: Browser, site: Served, failure: str
) -> None:
    async def fail(route: Route) -> None:
        if failure == "unreachable":
            await route.abort()
        else:
            await route.fulfill(status=503 if failure == "503" else 200, body="<h1>Sorry</h1>")

    async with page_of(chromium, site, expected="Failed to load resource") as page:
        hands = Hands(page, javascript=True)
        await hands.open("/account/register")
        await page.route(f"**{STRENGTH}", fail)
        over = "requestfailed" if failure == "unreachable" else "requestfinished"
        async with page.expect_event(over, lambda request: request.url.endswith(STRENGTH)):
            await hands.fill("Password", PASSWORD)
        await expect(page.locator("meter")).to_be_hidden()
        await expect(hands.main.get_by_role("status")).to_be_empty()
        await hands.look()
        await hands.fill("First name", "Robin")
        await hands.fill("Last name", "Example")
        await hands.fill("Email address", new_address("robin"))
        await hands.fill("Repeat password", PASSWORD)
        await hands.press("Register")
        await hands.sees("Almost done")
