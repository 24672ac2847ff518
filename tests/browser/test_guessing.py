"""Somebody whose password strangers guess at, in a real browser: the way in again."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import WAYS
from tests.browser.pages import NEW, WRONG, Hands, Mailed, begin_session, may_log_in, page_of
from tests.factories.people import Person, make_person
from tests.mail.captured import link_in
from tests.processes import Served, served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("worker", "inside")]

TRIES, OWN_TRIES = 4, 5
REFUSED = "Too many wrong passwords were tried for this account."


@pytest.fixture(scope="module")
def guarded(site: Served) -> Iterator[Served]:
    """Start another web process of the site, with limits on wrong passwords."""
    env = site.env | {
        "LOGIN_LIMIT_ACCOUNT": f"{TRIES}/hour",
        "LOGIN_LIMIT_ACCOUNT_ADDRESS": f"{OWN_TRIES}/hour",
    }
    with served(env, site.log.parent / "guarded.log") as server:
        yield server


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
async def owner(
    request: pytest.FixtureRequest, chromium: Browser, guarded: Served
) -> AsyncIterator[Hands]:
    """Return the owner of an account at a new browser."""
    width, javascript, kind = request.param
    async with page_of(chromium, guarded, width=width, javascript=javascript) as page:
        yield kind(page, javascript=javascript)


async def guess(chromium: Browser, guarded: Served, robin: Person) -> None:
    """Let strangers guess until they are refused."""
    async with page_of(chromium, guarded) as stranger:
        for _ in range(TRIES):
            assert not await may_log_in(stranger, robin.email, WRONG)


async def log_in(hands: Hands, robin: Person, password: str) -> None:
    """Fill the log-in form and submit it."""
    await hands.fill("Email address", robin.email)
    await hands.fill("Password", password)
    await hands.press("Log in")


async def reset(hands: Hands, robin: Person, mailed: Mailed) -> None:
    """Go from the log-in page to a new password, and back."""
    await hands.follow("Reset your password")
    await hands.fill("Email address", robin.email)
    await hands.press("Send the link")
    await hands.open(link_in(await mailed(robin.email, "Reset your password")))
    await hands.choose("New password", NEW)
    await hands.press("Save password")


async def test_the_owner_in_a_new_browser_is_shown_the_way_in(
    owner: Hands, chromium: Browser, guarded: Served, mailed: Mailed
) -> None:
    robin = await make_person()
    await guess(chromium, guarded, robin)
    await owner.open("/account/login")
    await log_in(owner, robin, robin.password)
    await expect(owner.main.get_by_role("alert")).to_contain_text(REFUSED)
    await owner.look()
    await reset(owner, robin, mailed)
    await guess(chromium, guarded, robin)  # who go on
    await log_in(owner, robin, NEW)
    await owner.is_at("Robin")
    notice = await mailed(robin.email, "Somebody is guessing at your password")
    assert "/account/reset-password" in notice["text"]


async def test_a_browser_that_logged_in_before_is_not_refused(
    chromium: Browser, guarded: Served
) -> None:
    robin = await make_person()
    async with page_of(chromium, guarded) as page:
        hands = Hands(page, javascript=True)
        await begin_session(page, robin)
        assert (await page.request.delete("/api/v1/session")).status == 204
        await guess(chromium, guarded, robin)
        await hands.open("/account/login")
        await log_in(hands, robin, robin.password)
        await hands.is_at("Robin")


async def test_whoever_forgot_the_password_is_let_in_with_the_new_one_at_once(
    chromium: Browser, guarded: Served, mailed: Mailed
) -> None:
    """They have tried too often themselves, in a browser that had logged in before."""
    robin = await make_person()
    async with page_of(chromium, guarded) as page:
        hands = Hands(page, javascript=True)
        await begin_session(page, robin)
        assert (await page.request.delete("/api/v1/session")).status == 204
        for _ in range(OWN_TRIES):
            assert not await may_log_in(page, robin.email, WRONG)
        await hands.open("/account/login")
        await log_in(hands, robin, robin.password)
        await expect(hands.main.get_by_role("alert")).to_contain_text("Too many wrong passwords.")
        await hands.look()
        await reset(hands, robin, mailed)
        await log_in(hands, robin, NEW)
        await hands.is_at("Robin")
