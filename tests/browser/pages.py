"""Somebody at a browser: what they do and see, with a mouse or with the keyboard alone."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, Response, expect

from tests.factories.people import NUMBERS, Person
from tests.processes import Served

NEW, WEAK, WRONG = (
    "seven brass turnips whisper",
    "password1234",
    "not what it is at all",
)  # passwords
WIDTHS, SCHEMES = (375, 1280), ("light", "dark")
# The console's message about a page that is an error on purpose.
ON_PURPOSE = "Failed to load resource: the server responded with a status of 4"
Mailed = Callable[..., Awaitable[dict[str, Any]]]
STOPS = 40  # presses of Tab: more than any page has stops

# The focused element: whether its focus is visible, how far down the page and in which form it is.
FOCUSED = """target => {
  const element = document.activeElement;
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  return {
    there: element === target,
    what: element.outerHTML.slice(0, 200),
    nothing: element === document.body,
    ring: element.matches(":focus-visible")
      && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 1 && box.height > 1 && box.bottom > 0
      && box.top < innerHeight && box.right > 0,
    bottom: box.bottom + scrollY,
    form: element.form ? [...document.forms].indexOf(element.form) : -1,
  };
}"""


def address(site: Served) -> str:
    """Return the site's url, by a name that browsers trust as this machine."""
    return f"http://localhost:{site.port}"


@asynccontextmanager
async def page_of(
    chromium: Browser,
    site: Served,
    *,
    width: int = 1280,
    scheme: Any = "light",
    javascript: bool = True,
    user_agent: str | None = None,
    expected: str = ON_PURPOSE,
) -> AsyncIterator[Page]:
    """Open a page in a browser context of its own.

    Errors in its console fail the test, except those that begin with `expected`.
    """
    context = await chromium.new_context(
        base_url=address(site),
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        java_script_enabled=javascript,
        user_agent=user_agent,
        bypass_csp=False,
    )
    context.set_default_timeout(15_000)
    page = await context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        await context.close()
    unexpected = [each for each in complaints if not each.startswith((ON_PURPOSE, expected))]
    assert unexpected == [], unexpected


def new_address(who: str) -> str:
    """Return an email that nobody has yet."""
    return f"{who}{next(NUMBERS)}@example.com"


async def violations(page: Page, *rules: str) -> list[str]:
    """Return the violations that axe finds, by all its rules or by some.

    Swagger UI's own elements are left out.
    """
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    result = await Axe().run(page, context={"exclude": [["#swagger-ui"]]}, options=options)
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in result.response["violations"]]


async def begin_session(page: Page, person: Person) -> None:
    """Log this browser in by the API."""
    credentials = {"email": person.email, "password": person.password}
    response = await page.request.post("/api/v1/session", data=credentials)
    assert response.status == 201, await response.text()


async def may_log_in(page: Page, email: str, password: str) -> bool:
    """Try a password at the API; tell whether it works."""
    credentials = {"email": email, "password": password}
    return (await page.request.post("/api/v1/session", data=credentials)).status == 201


async def is_logged_out(page: Page) -> None:
    """Expect this browser to be logged out."""
    await page.goto("/account/manage")
    await expect(page).to_have_url(re.compile("/account/login"))


class Hands:
    """Somebody with a mouse or a finger. They look for things in the page's main part."""

    def __init__(self, page: Page, *, javascript: bool) -> None:
        self.page = page
        self.javascript = javascript

    @property
    def main(self) -> Locator:
        """The page without header and footer."""
        return self.page.get_by_role("main")

    def field(self, label: str) -> Locator:
        """Return the field with this label."""
        return self.main.get_by_label(label, exact=True)

    def button(self, name: str) -> Locator:
        """Return the button with this name."""
        return self.main.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        """Return the link with this name."""
        return self.main.get_by_role("link", name=name, exact=True)

    async def open(self, path: str) -> None:
        """Go to a path, as from a mail."""
        await self.page.goto(path)
        await self._arrive()

    async def open_menu(self) -> None:
        """Open the menu: of all links on a phone, of the account elsewhere."""
        await self.activate(self.page.locator("summary:visible"))

    async def follow(self, link: str | Locator) -> None:
        """Follow a link to the page behind it."""
        await self._go(self.link(link) if isinstance(link, str) else link)

    async def press(self, name: str) -> Response:
        """Press a button that submits a form; return the response."""
        return await self._go(self.button(name))

    async def _go(self, target: Locator) -> Response:
        async with self.page.expect_navigation() as gone:
            await self.activate(target)
        await self._arrive()
        response: Response = await gone.value
        return response

    async def _arrive(self) -> None:
        focused = self.page.locator("[autofocus]")
        if await focused.count():
            await expect(focused).to_be_focused()  # which may come after the page is loaded

    async def activate(self, target: Locator) -> None:
        """Click it."""
        await target.click()

    async def fill(self, label: str, text: str) -> None:
        """Replace the value of a field."""
        await self.field(label).fill(text)

    async def tick(self, label: str) -> None:
        """Tick a box."""
        await self.field(label).check()

    async def pick(self, label: str, option: str) -> None:
        """Choose an option of a list."""
        await self.field(label).select_option(label=option)

    async def choose(self, label: str, password: str) -> None:
        """Type a new password twice."""
        await self.fill(label, password)
        await self.fill("Repeat password", password)

    async def sees(self, words: str) -> None:
        """Expect the page to contain these words."""
        await expect(self.main.get_by_text(words).first).to_be_visible()

    async def is_at(self, heading: str) -> None:
        """Expect the page to have this heading."""
        await expect(self.page.get_by_role("heading", level=1)).to_contain_text(heading)

    async def is_told(self, words: str, about: str) -> None:
        """Expect an error at this field, described below it, and the focus in it."""
        field = self.field(about)
        said = self.main.locator(
            ".field", has=self.page.get_by_label(about, exact=True)
        ).get_by_text(words)
        await expect(said).to_be_visible()
        await expect(field).to_be_focused()
        await expect(field).to_have_attribute("aria-invalid", "true")
        assert words in str(
            await field.evaluate(
                "e => e.ariaDescribedByElements.map(each => each.innerText).join(' ')"
            )
        )

    async def look(self) -> None:
        """Expect the page to fit its width and to be accessible, in both colour schemes."""
        width = await self.page.evaluate("innerWidth")
        assert await self.page.evaluate("document.documentElement.scrollWidth") <= width, (
            self.page.url
        )
        assert await self.page.locator("h1").count() == 1
        if self.javascript:  # axe is a script
            await self.page.emulate_media(
                color_scheme="light", reduced_motion="reduce"
            )  # no colours on their way
            assert await violations(self.page) == [], self.page.url
            await self.page.emulate_media(color_scheme="dark")
            assert await violations(self.page, "color-contrast") == [], (
                f"{self.page.url} in the dark"
            )


class Keyboard(Hands):
    """Somebody with a keyboard alone: Tab, Enter and letters."""

    async def activate(self, target: Locator) -> None:
        """Move the focus to an element and press Enter."""
        await self._tab_to(target)
        await self.page.keyboard.press("Enter")

    async def fill(self, label: str, text: str) -> None:
        """Move the focus to a field and type."""
        await self._tab_to(self.field(label))
        await self.page.keyboard.press("Control+A")
        await self.page.keyboard.type(text)

    async def tick(self, label: str) -> None:
        """Move the focus to a box and press Space."""
        await self._tab_to(self.field(label))
        await self.page.keyboard.press("Space")

    async def pick(self, label: str, option: str) -> None:
        """Move the focus to a list and type the option."""
        await self._tab_to(self.field(label))
        await self.page.keyboard.type(option)
        await expect(self.field(label).locator("option:checked")).to_have_text(option)

    async def _tab_to(self, target: Locator) -> None:
        await expect(target).to_be_visible()
        before: dict[str, Any] = {}
        for _ in range(STOPS):
            now = await target.evaluate(FOCUSED)
            if not now["nothing"]:
                assert now["ring"], f"this focus cannot be seen: {now['what']}"
                assert now["seen"], f"the focus is out of sight: {now['what']}"
                if before and now["form"] == before["form"] != -1:
                    assert now["bottom"] >= before["bottom"] - 10, (
                        f"the focus jumps back: {now['what']}"
                    )
                before = now
            if now["there"]:
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the focus never comes to {target}")
