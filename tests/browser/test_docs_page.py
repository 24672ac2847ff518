"""The API's documentation in a real browser: what it shows, and calls tried from it."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, Request, expect

from tests.browser.pages import SCHEMES, WIDTHS, address, begin_session, page_of, violations
from tests.factories.people import Person, make_person
from tests.processes import Served

pytestmark = pytest.mark.browser

ACCOUNT = "/api/v1/account"
SESSION = "/api/v1/session"
USERS = "/api/v1/users"
BACKGROUND = "getComputedStyle(document.querySelector('.opblock-get')).backgroundColor"

# Paragraphs that begin elsewhere than what holds them, or in another font than the page.
ASIDE = """[...document.querySelectorAll("#swagger-ui p")].filter(p => {
  const held = p.parentElement, { paddingLeft } = getComputedStyle(held);
  return p.getBoundingClientRect().left - held.getBoundingClientRect().left
      > parseFloat(paddingLeft) + 1
    || getComputedStyle(p).fontFamily !== getComputedStyle(document.body).fontFamily;
}).map(p => p.outerHTML)"""
# Lists that are narrower than their longest choice, though there is room.
CUT = """lists => lists.filter(list => {
  const room = list.closest(".response-controls")?.clientWidth ?? Infinity;
  const given = list.offsetWidth;
  list.style.cssText = "width: max-content; min-width: 0; max-width: none";
  const needed = list.offsetWidth;
  list.style.cssText = "";
  return given < Math.min(needed, room);
}).map(list => list.outerHTML)"""


# What Swagger UI says where it is opened at an operation whose id holds `_`, as ours do. It finds
# them all the same.
DEEP_LINK = "Deprecated: escaping deep link whitespace"


@pytest.fixture
async def page(chromium: Browser, site: Served) -> AsyncIterator[Page]:
    async with page_of(chromium, site, expected=DEEP_LINK) as page:
        yield page


async def test_the_page_shows_every_operation_and_asks_nobody_else(
    page: Page, site: Served
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto("/docs")
    document = await (await page.request.get("/openapi.json")).json()
    number = sum(len(operations) for operations in document["paths"].values())
    assert number > 30
    await expect(page.locator(".opblock")).to_have_count(number)
    await expect(page.locator(".errors-wrapper")).to_have_count(0)
    await operation(page, "post", SESSION)
    own = (f"{address(site)}/", "data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_it_fits_and_can_be_read_while_a_call_is_tried(
    chromium: Browser, site: Served, width: int, scheme: str
) -> None:
    async with page_of(chromium, site, width=width, scheme=scheme) as page:
        await page.goto("/docs")
        await execute(await operation(page, "get", ACCOUNT), "401")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await violations(page) == []
        await look(page, "#main", "color-contrast", "landmark-no-duplicate-main", "heading-order")
        await fill_dialog(page, "nobody's")
        await look(page, ".modal-ux", "color-contrast", "label")


async def test_its_colours_follow_the_browsers(page: Page) -> None:
    await page.goto("/docs")
    await expect(page.locator(".opblock").first).to_be_visible()
    light = await page.evaluate(BACKGROUND)
    await page.emulate_media(color_scheme="dark")
    await expect(page.locator("html")).to_have_class("dark-mode")
    assert await page.evaluate(BACKGROUND) != light
    await page.emulate_media(color_scheme="light")
    await expect(page.locator("html")).not_to_have_class("dark-mode")
    assert await page.evaluate(BACKGROUND) == light


@pytest.mark.usefixtures("inside")
async def test_one_logs_in_comes_back_and_calls_as_oneself(page: Page) -> None:
    person = await make_person()
    await page.goto("/docs")
    await caller(page).get_by_role("link", name="Log in").click()
    await page.get_by_label("Email address").fill(person.email)
    await page.get_by_label("Password", exact=True).fill(person.password)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url("/docs")
    await expect(caller(page)).to_contain_text(f"You are logged in as {person.email}")
    shown = await operation(page, "get", ACCOUNT)
    await execute(shown, "200")
    await expect(shown.locator(".live-responses-table")).to_contain_text(person.email)


@pytest.mark.usefixtures("inside")
async def test_a_call_that_logs_in_or_out_changes_who_calls(page: Page) -> None:
    person = await make_person()
    await page.goto("/docs")
    shown = await operation(page, "post", SESSION)
    await shown.get_by_role("button", name="Try it out").click()
    await shown.locator("textarea").fill(
        json.dumps({"email": person.email, "password": person.password})
    )
    await execute(shown, "201")
    await expect(caller(page)).to_contain_text(f"You are logged in as {person.email}")
    await execute(await operation(page, "delete", SESSION), "204")
    await expect(caller(page)).to_contain_text("Log in to make calls as yourself")


@pytest.mark.usefixtures("inside")
async def test_a_call_with_a_token_is_sent_without_the_cookie(page: Page, site: Served) -> None:
    one, other = await make_person(), await make_person()
    await begin_session(page, one)
    await page.goto("/docs")
    await authorize(page, await secret_of(site, other))
    await expect(page.locator("#bearer")).to_contain_text("the token that you entered")
    await expect(caller(page)).to_be_hidden()
    shown = await operation(page, "get", ACCOUNT)
    sent = await (await execute(shown, "200")).all_headers()
    assert sent["authorization"].startswith("Bearer ")
    assert "cookie" not in sent
    await expect(shown.locator(".live-responses-table")).to_contain_text(other.email)
    await page.reload()
    await expect(caller(page)).to_contain_text(f"You are logged in as {one.email}")
    await expect(page.locator(".opblock.is-open .opblock-summary-path")).to_have_text(ACCOUNT)
    kept = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert kept == "[{},{}]"


@pytest.mark.usefixtures("inside")
async def test_while_there_is_a_token_no_call_changes_who_is_logged_in(
    page: Page, site: Served
) -> None:
    """Logging in takes no token, so Swagger UI sends none: with the cookie it would end that."""
    one, other = await make_person(), await make_person()
    await begin_session(page, one)
    await page.goto("/docs")
    await authorize(page, await secret_of(site, other))
    shown = await operation(page, "post", SESSION)
    await shown.get_by_role("button", name="Try it out").click()
    await shown.locator("textarea").fill(
        json.dumps({"email": other.email, "password": other.password})
    )
    assert "cookie" not in await (await execute(shown, "201")).all_headers()
    assert (await (await page.request.get(ACCOUNT)).json())["email"] == one.email


async def test_the_dialog_begins_with_its_first_field(page: Page) -> None:
    await page.goto("/docs")
    fields = (await open_dialog(page)).locator("input")
    await expect(fields).to_have_count(2)
    await expect(fields.first).to_be_focused()


@pytest.mark.usefixtures("inside")
async def test_it_says_where_tokens_are_made(page: Page) -> None:
    await begin_session(page, await make_person())
    await page.goto("/docs")
    await page.get_by_role("link", name="the pages of your account").click()
    await page.get_by_role("link", name="Tokens", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your API tokens")


async def test_paragraphs_begin_where_their_headings_do(page: Page) -> None:
    """They are in the font of the site, and none is centred in the room that it has."""
    await page.goto("/docs")
    shown = await operation(page, "get", USERS)
    assert await shown.locator(":is(.renderedMarkdown, .markdown) p").count() > 5
    assert await page.evaluate(ASIDE) == []


async def test_what_can_be_chosen_is_not_cut(chromium: Browser, site: Served) -> None:
    async with page_of(chromium, site, width=375) as page:
        await page.goto("/docs")
        choices = (await operation(page, "get", USERS)).locator("select")
        assert await choices.count() > 5
        assert await choices.evaluate_all(CUT) == []


async def test_the_dialog_asks_for_no_cookie(page: Page) -> None:
    """A script cannot set it, so a field for it would do nothing."""
    await page.goto("/docs")
    dialog = await open_dialog(page)
    assert await dialog.locator("input").count() > 0
    await expect(dialog).not_to_contain_text("cookie")


async def test_what_cannot_be_loaded_is_said(chromium: Browser, site: Served) -> None:
    async with page_of(chromium, site, expected="/openapi.json: 429") as page:
        await page.route("**/openapi.json", lambda route: route.fulfill(status=429))
        await page.goto("/docs")
        await expect(page.locator("#swagger-ui")).to_contain_text("could not be loaded")


async def test_without_javascript_it_leads_to_the_document(chromium: Browser, site: Served) -> None:
    async with page_of(chromium, site, javascript=False) as page:
        await page.goto("/docs")
        await expect(caller(page)).to_be_hidden()  # nothing can be called
        await page.get_by_role("link", name="openapi.json").click()
        await expect(page).to_have_url("/openapi.json")


def caller(page: Page) -> Locator:
    """Return the line that says as whom calls are made."""
    return page.locator("#caller")


async def operation(page: Page, method: str, path: str) -> Locator:
    """Unfold an operation."""
    row = page.locator(f".opblock-{method}", has=page.locator(f"[data-path='{path}']"))
    await row.locator(".opblock-summary-control").click()
    await expect(row.get_by_role("button", name="Try it out")).to_be_visible()
    return row


async def execute(row: Locator, status: str) -> Request:
    """Try an operation and expect this status; return the request that was sent."""
    if await row.get_by_role("button", name="Try it out").is_visible():
        await row.get_by_role("button", name="Try it out").click()
    async with row.page.expect_request("**/api/v1/**") as sent:
        await row.get_by_role("button", name="Execute").click()
    code = row.locator(".live-responses-table .response-col_status").last
    await expect(code).to_contain_text(status)
    return await sent.value


async def look(page: Page, part: str, *rules: str) -> None:
    """Expect a part of the page, with what is Swagger UI's own, to keep some of axe's rules."""
    result = await Axe().run(page, context={"include": [[part]]}, options={"runOnly": rules})
    assert [
        f"{node['html']}: {node['failureSummary']}"
        for each in result.response["violations"]
        for node in each["nodes"]
    ] == []


async def open_dialog(page: Page) -> Locator:
    """Press Authorize."""
    await page.get_by_role("button", name="Authorize").first.click()
    return page.locator(".modal-ux")


async def fill_dialog(page: Page, secret: str) -> None:
    """Enter a secret wherever the dialog asks for one; it stays open."""
    dialog = await open_dialog(page)
    fields = dialog.locator(".auth-container", has=page.locator("input"))
    for left in reversed(range(await fields.count())):
        await fields.first.locator("input").fill(secret)
        await fields.first.locator("button[type=submit]").click()
        await expect(fields).to_have_count(left)  # what is entered has no field any more


async def authorize(page: Page, secret: str) -> None:
    """Enter a secret and close the dialog."""
    await fill_dialog(page, secret)
    await page.keyboard.press("Escape")
    await expect(page.locator(".modal-ux")).to_be_hidden()


async def secret_of(site: Served, person: Person) -> str:
    """Log somebody in as a program does, and return the secret of the session."""

    def ask() -> str:
        body = json.dumps({"email": person.email, "password": person.password}).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{site.url}{SESSION}", body, headers)
        with urllib.request.urlopen(asked) as answer:
            return str(json.load(answer)["token"])

    return await asyncio.to_thread(ask)
