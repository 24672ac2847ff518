"""Sessions, one's data, and the end of an account in a real browser, in every way of using one."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect
from sqlalchemy import update

from app.auth.models import Credential, Purpose, User
from app.database import db, utcnow
from tests.browser.pages import WRONG, Hands, begin_session, is_logged_out, may_log_in, page_of
from tests.factories.people import Person, make_person
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("worker", "inside")]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def test_sessions_are_ended_from_another_browser(
    hands: Hands, chromium: Browser, site: Served
) -> None:
    robin = await make_person()
    await begin_session(hands.page, robin)
    async with (
        page_of(chromium, site, user_agent=FIREFOX) as elsewhere,
        page_of(chromium, site) as third,
    ):
        await begin_session(elsewhere, robin)
        await hands.open("/account/manage")
        await hands.follow("Sessions")
        await expect(hands.main.get_by_role("row")).to_have_count(3)
        await expect(hands.main.get_by_role("row", name="This device")).to_have_count(1)
        await hands.look()
        await hands.follow(
            hands.main.get_by_role("button", name="End the session of Firefox on Linux")
        )
        await hands.sees("That session has ended.")
        await is_logged_out(elsewhere)
        await begin_session(elsewhere, robin)
        await begin_session(third, robin)
        await hands.open("/account/sessions")
        await expect(hands.main.get_by_role("row")).to_have_count(4)
        await hands.press("End all other sessions")
        await hands.sees("All other sessions have ended.")
        await expect(hands.main.get_by_role("row")).to_have_count(2)
        await expect(hands.button("End all other sessions")).to_have_count(0)
        await is_logged_out(elsewhere)
        await is_logged_out(third)
        await hands.press("Log out here")
        await hands.sees("You are logged out.")
        await is_logged_out(hands.page)


async def download(hands: Hands) -> dict[str, Any]:
    async with hands.page.expect_download() as begun:
        await hands.activate(hands.link("Download"))
    file = await begun.value
    assert file.suggested_filename == "my-data.json"
    found: dict[str, Any] = json.loads(Path(await file.path()).read_text())
    return found


async def test_ones_data_are_downloaded(hands: Hands) -> None:
    robin = await make_person()
    await begin_session(hands.page, robin)
    await hands.open("/account/manage")
    await hands.follow("Data")
    await hands.look()
    found = await download(hands)
    assert found["account"]["email"] == robin.email
    kept = {each["purpose"] for each in found["credentials"]}
    assert kept == {Purpose.SESSION, Purpose.DEVICE}
    assert "argon2" not in json.dumps(found)


async def test_downloading_asks_for_the_password_after_a_while(hands: Hands) -> None:
    robin = await make_person()
    await begin_session(hands.page, robin)
    before = {"authenticated_at": utcnow() - timedelta(hours=1)}
    async with db.transaction() as session:
        await session.execute(
            update(Credential).where(Credential.user_id == robin.id).values(**before)
        )
    await hands.open("/account/delete")
    await hands.follow("Download")
    await hands.is_at("Confirm it is you")
    await hands.look()
    await hands.fill("Password", WRONG)
    await hands.press("Continue")
    await hands.is_told("This is not your password.", about="Password")
    await hands.look()
    await hands.fill("Password", robin.password)
    await hands.press("Continue")
    await hands.sees("Thank you. You can carry on now.")
    await hands.is_at("Your data")
    assert (await download(hands))["account"]["email"] == robin.email


async def test_an_account_is_deleted(hands: Hands) -> None:
    robin = await make_person()
    await begin_session(hands.page, robin)
    await hands.open("/account/delete")
    await hands.sees(robin.email)
    await hands.fill("Password", WRONG)
    await hands.press("Delete my account")
    await hands.is_told("This is not your password.", about="Password")
    await hands.look()
    await hands.fill("Password", robin.password)
    await hands.press("Delete my account")
    await hands.sees("Your account has been deleted.")
    await hands.look()
    await is_logged_out(hands.page)
    assert not await may_log_in(hands.page, robin.email, robin.password)


async def test_the_last_administrator_stays(hands: Hands) -> None:
    admin = Person(0, "admin@example.com", "Admin", "password")
    async with db.transaction() as session:  # tests before this one have made others
        others = update(User).where(User.email != admin.email)
        await session.execute(others.values(disabled_at=utcnow()))
    await begin_session(hands.page, admin)
    await hands.open("/account/delete")
    await hands.fill("Password", admin.password)
    await hands.press("Delete my account")
    await expect(hands.main.get_by_role("alert")).to_contain_text("You are the only administrator.")
    await hands.look()
    assert await may_log_in(hands.page, admin.email, admin.password)
