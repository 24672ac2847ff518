"""What people do with several tabs, sessions that end, password managers and impatient fingers."""

import asyncio
import re
from contextlib import suppress
from typing import Any

import pytest
from playwright.async_api import Browser, Error, Page, Route, expect
from sqlalchemy import delete, func, select

from app.accounts import links
from app.auth.models import Credential, Purpose, User
from app.database import db
from tests.browser.pages import (
    NEW,
    WRONG,
    Hands,
    begin_session,
    new_address,
    page_of,
)
from tests.factories.people import PASSWORD, Person, make_person
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("inside")]


async def end_sessions(person: Person) -> None:
    """End the sessions of somebody, as time would."""
    async with db.transaction() as session:
        await session.execute(delete(Credential).where(Credential.user_id == person.id))


async def fill_log_in(page: Page, person: Person, password: str = PASSWORD) -> None:
    """Fill the log-in form and submit it."""
    await page.get_by_label("Email address").fill(person.email)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("main").get_by_role("button", name="Log in").click()


async def test_the_log_in_form_of_an_older_tab_changes_who_is_in_and_says_so(
    chromium: Browser, site: Served
) -> None:
    kim, bob = await make_person(), await make_person()
    async with page_of(chromium, site) as older:
        await older.goto("/account/login")
        newer = await older.context.new_page()
        await newer.goto("/account/login")
        await fill_log_in(newer, kim)
        await expect(newer.get_by_role("heading", level=1)).to_contain_text("Hello")
        await fill_log_in(older, bob, WRONG)
        await expect(
            older.get_by_text("The email address or the password is wrong.")
        ).to_be_visible()
        await fill_log_in(older, bob)
        words = f"You are now logged in as {bob.email}. {kim.email} has been logged out."
        await expect(older.get_by_text(words)).to_be_visible()
        await newer.goto("/account/manage")
        await expect(newer.get_by_role("main").get_by_text(bob.email)).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
async def test_other_forms_of_an_older_tab_say_that_nothing_was_done(
    chromium: Browser, site: Served, javascript: bool
) -> None:
    kim = await make_person()
    async with page_of(chromium, site, width=375, javascript=javascript) as page:
        hands = Hands(page, javascript=javascript)
        await hands.open("/account/reset-password")
        await begin_session(page, kim)
        await hands.fill("Email address", new_address("bob"))
        assert (await hands.press("Send the link")).status == 403
        await hands.is_at(f"You are logged in as {kim.email}, so this was not done.")
        await hands.look()
        await hands.press("Log out")
        await hands.is_at("Reset your password")
        await hands.sees("You are logged out.")


@pytest.mark.parametrize("javascript", [True, False])
async def test_what_was_typed_while_the_session_ended_is_back_after_logging_in(
    chromium: Browser, site: Served, javascript: bool
) -> None:
    kim = await make_person()
    async with page_of(chromium, site, width=375, javascript=javascript) as page:
        hands = Hands(page, javascript=javascript)
        await begin_session(page, kim)
        await hands.open("/account/manage")
        await hands.fill("First name", "山田")
        await end_sessions(kim)
        await hands.press("Save")
        await hands.is_at("Log in")
        await hands.sees("Your session has ended, so this was not done.")
        await hands.look()
        await fill_log_in(page, kim)
        await hands.is_at("Your account")
        await hands.sees("What you typed is here again. It is not saved yet.")
        await expect(hands.field("First name")).to_have_value("山田")
        await hands.look()
        await hands.press("Save")
        await hands.sees("Your name has been saved.")
        await expect(hands.field("First name")).to_have_value("山田")


PASSWORD_PAGES = {
    "/account/login": 0,
    "/account/register": 0,
    "/account/reset-password/{reset}": 1,
    "/account/join-from-invite/{invite}": 1,
    "/account/confirm-account/{confirm}": 1,
    "/account/set-up/{confirm}": 1,
    "/account/reauthenticate": 1,
    "/account/manage/change-password": 1,
    "/account/manage/change-email": 1,
    "/account/delete": 1,
}


WRONG_PAGE, HTML = "http://localhost:1/", "text/html"


async def expect_eventually(said: list[str]) -> None:
    """Wait until Chromium has warned of a form that is wrong on purpose."""
    for _ in range(150):
        if said:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium warns of nothing, so that this test would see nothing")


async def test_password_managers_find_whose_password_it_is_and_chromium_warns_of_nothing(
    chromium: Browser, site: Served
) -> None:
    kim, new = await make_person(), await make_person(confirmed=False)
    async with db.transaction() as session:
        to = {each.id: await session.get_one(User, each.id) for each in (kim, new)}
        secrets = {
            kind: links.new_link(session, Purpose(kind), to[kim.id].address, user_id=kim.id)
            for kind in ("reset", "invite")
        }
        secrets["confirm"] = links.new_link(
            session, Purpose.CONFIRM, to[new.id].address, user_id=None, registration=new.id
        )
    async with page_of(chromium, site) as page:
        said: list[str] = []

        def hear(entry: dict[str, Any]) -> None:
            said.append(f"{page.url}: {entry['entry']['text']}")

        devtools = await page.context.new_cdp_session(page)
        devtools.on("Log.entryAdded", hear)
        await devtools.send("Log.enable")
        wrong = "<!doctype html><form method=post><input type=password><button>Go</button></form>"
        await page.route(WRONG_PAGE, lambda route: route.fulfill(body=wrong, content_type=HTML))
        await page.goto(WRONG_PAGE)
        # Chromium looks at forms a moment after they are there.
        await expect_eventually(said)
        await expect.poll(lambda: said) if False else None
        for path, is_known in PASSWORD_PAGES.items():
            if path == "/account/reauthenticate":
                await begin_session(page, kim)
            await page.goto(path.format(**secrets))
            form = page.get_by_role("main").locator("form:has(input[type=password])")
            tokens = await form.locator("input").evaluate_all(
                "inputs => inputs.map(each => each.autocomplete).filter(Boolean)"
            )
            assert tokens.count("username") == 1, path
            of_passwords = await form.locator("input[type=password]").evaluate_all(
                "inputs => inputs.map(each => each.autocomplete)"
            )
            assert set(of_passwords) <= {"current-password", "new-password"}, path
            name = form.locator("[autocomplete=username]")
            if is_known:
                of = new if "{confirm}" in path else kim
                assert await name.input_value() == of.email
                assert await name.get_attribute("name") is None, "it is not sent"
                assert tokens[0] == "username", "before the passwords"
            await page.wait_for_timeout(1000)
        assert [words for words in said if not words.startswith(WRONG_PAGE)] == []


async def test_a_form_that_is_submitted_twice_at_once_is_sent_once(
    chromium: Browser, site: Served
) -> None:
    kim = await make_person()
    async with page_of(chromium, site) as page:
        hands = Hands(page, javascript=True)
        await begin_session(page, kim)
        await hands.open("/account/manage/change-password")
        await hands.fill("Current password", PASSWORD)
        await hands.fill("New password", NEW)
        await hands.fill("Repeat password", NEW)
        posts: list[str] = []
        page.on("request", lambda each: posts.append(each.url) if each.method == "POST" else None)

        async def answer_slowly(route: Route) -> None:
            await asyncio.sleep(0.5)
            with suppress(Error):  # the browser has given this request up
                await route.continue_()

        await page.route("**/change-password", answer_slowly)
        # By a script, since Playwright would wait for the answer between the two.
        await hands.button("Change password").evaluate(
            "button => [0, 150].forEach(after => setTimeout(() => button.click(), after))"
        )
        await hands.is_at("Your account")
        await hands.sees("Your password has been changed.")
        assert len([each for each in posts if each.endswith("change-password")]) == 1


@pytest.mark.parametrize("label", ["Register", "Send the link"])
async def test_a_form_that_is_sent_twice_without_javascript_has_one_effect(
    chromium: Browser, site: Served, label: str
) -> None:
    email = new_address("twice")
    async with page_of(chromium, site, javascript=False) as page:
        hands = Hands(page, javascript=False)
        await hands.open("/account/register" if label == "Register" else "/account/reset-password")
        await hands.fill("Email address", email)
        if label == "Register":
            await hands.fill("First name", "Robin")
            await hands.fill("Last name", "Example")
            await hands.choose("Password", NEW)
        await hands.button(label).dblclick()
        await hands.is_at("Log in")
        async with db.session() as session:
            found = await session.scalar(select(func.count(User.id)).where(User.email == email))
        assert found == (1 if label == "Register" else 0)


async def test_going_back_after_logging_out_shows_nothing_private(
    chromium: Browser, site: Served
) -> None:
    kim = await make_person()
    async with page_of(chromium, site) as page:
        await begin_session(page, kim)
        await page.goto("/account/manage")
        await page.locator(".account-toggle summary").click()
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_text("You are logged out.")).to_be_visible()
        await page.go_back()
        await expect(page).to_have_url(re.compile("/account/login"))
        assert kim.email not in await page.content()


LONG = "Wolfeschlegelsteinhausenbergerdorff" + "x" * 29  # 64 letters without a break


NAMES = [LONG, "علی\u200cرضا", "山田 太郎", "ශ්\u200dරීමතී 👩\u200d💻"]  # noqa: RUF001  (Arabic)


@pytest.mark.parametrize("name", NAMES)
async def test_names_of_any_script_and_length_fit_a_phone(
    chromium: Browser, site: Served, name: str
) -> None:
    kim = await make_person(email=f"{'x' * 60}{new_address('long')}", first_name=name)
    async with page_of(chromium, site, width=375) as page:
        hands = Hands(page, javascript=True)
        await begin_session(page, kim)
        for path in ("/", "/account/manage", "/account/manage/change-email", "/account/delete"):
            await hands.open(path)
            if path == "/":
                await hands.is_at(f"Hello, {name}")
                await hands.open_menu()
            await hands.look()
