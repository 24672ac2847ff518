"""An internationalised address in a real browser, whose e-mail field sends it as Punycode."""

import pytest
from playwright.async_api import Browser

from tests.browser.pages import NEW, Hands, Mailed, page_of
from tests.factories.people import NUMBERS, PASSWORD
from tests.mail.captured import link_in
from tests.processes import Served

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("worker", "inside")]


@pytest.mark.parametrize("domain", ["bücher.example", "xn--bcher-kva.example", "BÜCHER.example"])
async def test_an_address_of_umlauts_registers_confirms_logs_in_and_resets(
    chromium: Browser, site: Served, mailed: Mailed, domain: str
) -> None:
    name = f"Robin{next(NUMBERS)}"
    typed, normal = f"{name}@{domain}", f"{name.lower()}@bücher.example"
    recipient = f"{name}@bücher.example"
    async with page_of(chromium, site) as page:
        hands = Hands(page, javascript=True)
        await hands.open("/account/register")
        await hands.fill("First name", "Robin")
        await hands.fill("Last name", "Example")
        await hands.fill("Email address", typed)
        await hands.choose("Password", PASSWORD)
        async with page.expect_request("**/account/register") as sent:
            await hands.press("Register")
        posted = (await sent.value).post_data_json
        assert posted
        assert posted["email"].lower() == f"{name.lower()}@xn--bcher-kva.example"
        await hands.sees(f"open the link in the email we sent to {normal}.")
        await hands.open(link_in(await mailed(recipient, "Confirm your account")))
        await hands.sees(normal)
        await hands.press("Confirm my address")
        await hands.is_at("Robin")
    async with page_of(chromium, site) as page:
        hands = Hands(page, javascript=True)
        await hands.open("/account/reset-password")
        await hands.fill("Email address", typed)
        await hands.press("Send the link")
        await hands.open(link_in(await mailed(recipient, "Reset your password")) + ".")
        await hands.choose("New password", NEW)
        await hands.press("Save password")
        await hands.fill("Email address", normal)
        await hands.fill("Password", NEW)
        await hands.press("Log in")
        await hands.is_at("Robin")
