"""Every page in a real browser.

Phone and desktop, light and dark, by keyboard, without JavaScript.
"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.pages import SCHEMES, WIDTHS, page_of, violations
from tests.processes import Served, manage

pytestmark = pytest.mark.browser


async def log_in(page: Page, password: str = "password") -> None:
    await page.goto("/account/login")
    await page.get_by_label("Email address").fill("admin@example.com")
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("main").get_by_role("button", name="Log in").click()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_pages_are_accessible_and_fit(
    chromium: Browser, site: Served, width: int, scheme: str
) -> None:
    async with page_of(chromium, site, width=width, scheme=scheme) as page:

        async def look(path: str) -> None:
            await page.goto(path)
            assert await violations(page) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path

        for path in (
            "/",
            "/account/login",
            "/account/register",
            "/docs",
            "/dev/mail",
            "/no-such-page",
        ):
            await look(path)
        await log_in(page, "wrong")
        await expect(page.get_by_role("alert")).to_contain_text("wrong")
        assert await violations(page) == []
        await log_in(page)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Overview")
        for path in ("/", "/account/manage", "/admin"):
            await look(path)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("javascript", [True, False])
async def test_one_registers_and_confirms(
    chromium: Browser, site: Served, width: int, javascript: bool
) -> None:
    """Open the link in the mail and press its button; every page on the way is accessible."""
    email, password = f"robin{width}{javascript}@example.com", "a violet kettle sings"
    async with page_of(chromium, site, width=width, javascript=javascript) as page:

        async def check() -> None:
            if javascript:  # axe is a script
                assert await violations(page) == [], page.url
            else:
                assert await page.locator("h1").count() == 1

        await page.goto("/account/register")
        await expect(
            page.get_by_label("First name")
        ).to_be_focused()  # which may come after the page is loaded
        for typed in ("Robin", "Example", email, password):
            await page.keyboard.type(typed)
            await page.keyboard.press("Tab")
            if typed == password and javascript:
                await page.keyboard.press("Tab")  # past the button that shows it
        await page.keyboard.type("another one, surely")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("The passwords do not match.")).to_be_visible()
        await expect(page.get_by_label("Repeat password")).to_be_focused()
        await expect(page.get_by_label("Email address")).to_have_value(email)
        await check()
        await page.get_by_label("Password", exact=True).fill(password)
        await page.get_by_label("Repeat password").fill(password)
        await page.keyboard.press("Enter")
        await expect(
            page.get_by_text(f"open the link in the email we sent to {email}")
        ).to_be_visible()
        await check()
        await page.get_by_label("Email address").fill(email)
        await page.get_by_label("Password", exact=True).fill(password)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text(
            "Confirm your email address"
        )
        await page.goto("/")
        await expect(page).to_have_url(f"http://localhost:{site.port}/account/unconfirmed")
        await check()
        await page.get_by_role("button", name="Send it again").click()
        await expect(page.get_by_text("If you have several, any will do")).to_be_visible()
        burst = await asyncio.to_thread(manage, "run-worker", "--burst", env=site.env)
        assert burst.returncode == 0, burst.stderr
        await page.goto("/dev/mail")
        await check()
        await page.get_by_role("link", name="Confirm your account").first.click()
        await check()
        mailed = await page.locator("a[href*='/account/confirm-account/']").get_attribute("href")
        link = urlsplit(str(mailed)).path  # BASE_URL does not know the port of this test
        await page.goto(link)
        await expect(page.get_by_role("heading", level=1)).to_contain_text(
            "Confirm your email address"
        )
        await check()
        await page.get_by_role("button", name="Confirm my address").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Robin")
        await page.goto(link)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("no longer works")
        await check()
        assert (
            await page.evaluate("document.documentElement.scrollWidth") <= width
            if javascript
            else True
        )


async def test_one_logs_in_and_out_by_keyboard_alone(chromium: Browser, site: Served) -> None:
    async with page_of(chromium, site) as page:
        await page.goto("/account/login")
        await expect(page.get_by_label("Email address")).to_be_focused()
        await page.keyboard.type("admin@example.com")
        await page.keyboard.press("Tab")
        await page.keyboard.type("password")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Overview")
        await page.locator(".account-toggle > summary").focus()
        await page.keyboard.press("Enter")
        button = page.get_by_role("button", name="Log out")
        await expect(button).to_be_visible()
        await button.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("You are logged out.")


@pytest.mark.parametrize("width", WIDTHS)
async def test_everything_works_without_javascript(
    chromium: Browser, site: Served, width: int
) -> None:
    async with page_of(chromium, site, width=width, javascript=False) as page:
        await log_in(page)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Overview")
        await page.goto("/")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Admin")
        if width < 640:
            await page.locator(".menu-toggle > summary").click()
        await page.get_by_role("link", name="Administration").first.click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Overview")
        await page.locator(
            ".menu-toggle > summary" if width < 640 else ".account-toggle > summary"
        ).click()
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_text("You are logged out.")).to_be_visible()


async def test_a_page_that_needs_somebody_comes_back_after_log_in(
    chromium: Browser, site: Served
) -> None:
    async with page_of(chromium, site) as page:
        await page.goto("/account/manage")
        await expect(page).to_have_url(
            f"http://localhost:{site.port}/account/login?next=/account/manage"
        )
        await page.get_by_label("Email address").fill("admin@example.com")
        await page.get_by_label("Password", exact=True).fill("password")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Your account")


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "/%09/evil.example", "https://evil.example"]
)
async def test_no_browser_can_be_led_elsewhere(
    chromium: Browser, site: Served, target: str
) -> None:
    """Browsers read some of these as other sites, whatever a server thinks of them."""
    async with page_of(chromium, site) as page:
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        await page.goto(f"/account/login?next={target}")
        await page.get_by_label("Email address").fill("admin@example.com")
        await page.get_by_label("Password", exact=True).fill("password")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Overview")
        assert not [
            url for url in requested if not url.startswith(f"http://localhost:{site.port}/")
        ]


async def test_a_foreign_page_cannot_log_anybody_out(chromium: Browser, site: Served) -> None:
    """Post from another port of this machine: its requests carry the cookie."""
    async with page_of(chromium, site) as page:
        await log_in(page)
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Overview")
        form = f"<form method=post action=http://localhost:{site.port}/account/logout><button>go</button></form>"

        async def foreign(route: Any) -> None:
            await route.fulfill(body=form, content_type="text/html")

        await page.route("http://localhost:1/", foreign)
        await page.goto("http://localhost:1/")
        await page.get_by_role("button", name="go").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("another site")
        await page.goto("/account/manage")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Your account")


async def test_the_first_tab_of_a_menu_lines_up_with_the_page_on_a_phone(
    chromium: Browser, site: Served
) -> None:
    async with page_of(chromium, site, width=375) as page:
        await log_in(page)
        await page.goto("/account/manage")
        tab = await page.locator(".section-nav .entry").first.bounding_box()
        heading = await page.get_by_role("heading", level=1).bounding_box()
        assert tab
        assert heading
        assert tab["x"] == heading["x"]


async def test_a_password_can_be_shown_and_is_hidden_again(chromium: Browser, site: Served) -> None:
    async with page_of(chromium, site) as page:
        await page.goto("/account/login")
        password = page.locator("input[name=password]")
        await expect(password).to_have_attribute("type", "password")
        await page.get_by_role("button", name="Show password").click()
        await expect(password).to_have_attribute("type", "text")
