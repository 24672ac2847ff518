"""The page of one's API tokens: it lists them, makes one, and shows its secret once."""

import re
from typing import Any
from uuid import UUID

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import update

from app.accounts import roles
from app.auth.models import Credential
from app.auth.tokens import is_api_token, new_api_token
from app.database import db
from tests.accounts.people.administering import post
from tests.factories.people import PASSWORD, Person, log_in, make_person
from tests.factories.tokens import bearer, make_token, token_row

PATH = "/account/tokens"


async def shown(browser: Browser) -> str:
    answer = await browser.get(PATH)
    assert answer.status_code == 200
    return str(await answer.get_data(as_text=True))


async def filled(browser: Browser, **fields: Any) -> dict[str, Any]:
    """Fill in the form as the page shows it."""
    [form_id] = re.findall('name="form_id" value="([^"]+)"', await shown(browser))
    UUID(form_id)
    given = {"name": "Nightly export", "scopes": ["read"], "expires_in_days": "90"}
    return given | {"form_id": form_id} | fields


async def test_the_secret_is_on_the_answer_and_nowhere_else(app: Quart, browser: Browser) -> None:
    answer = await post(browser, PATH, await filled(browser))
    page = await answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    [secret] = {found for found in re.findall(r"qb_\w{49}", page) if is_api_token(found)}
    assert f'curl -H "Authorization: Bearer {secret}" http://localhost/api/v1/account' in page
    used = await app.test_client().get("/api/v1/account", headers=bearer(secret))
    assert used.status_code == 200
    listed = await shown(browser)
    assert "Nightly export" in listed
    assert "qb_" not in listed


async def test_reloading_the_answer_makes_and_shows_nothing(browser: Browser) -> None:
    form = await filled(browser)
    assert (await post(browser, PATH, form)).status_code == 200
    again = await post(browser, PATH, form)
    assert (again.status_code, again.headers["Location"]) == (303, PATH)
    page = await shown(browser)
    assert "has been made already" in page
    assert "qb_" not in page
    assert page.count("End the token Nightly export") == 1
    # The next copy of the form makes the next token.
    assert (await post(browser, PATH, await filled(browser))).status_code == 200


async def test_only_administrators_are_offered_to_administer(app: Quart, browser: Browser) -> None:
    assert 'value="administer"' not in await shown(browser)
    refused = await post(browser, PATH, await filled(browser, scopes=["read", "administer"]))
    assert refused.status_code == 422
    assert "your tokens cannot either" in await refused.get_data(as_text=True)
    boss = app.test_client()
    await log_in(boss, await make_person(role=roles.ADMINISTRATOR))
    assert 'value="administer"' in await shown(boss)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "a\u0007b"}, "control character"),
        ({"scopes": []}, "This field is required."),
        ({"expires_in_days": "400"}, "366"),
        ({"form_id": ""}, "This field is required."),
    ],
)
async def test_mistakes_are_said_and_what_was_typed_is_kept(
    browser: Browser, fields: dict[str, Any], words: str
) -> None:
    answer = await post(browser, PATH, await filled(browser, **fields))
    page = await answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert words in page
    if "name" not in fields:
        assert 'value="Nightly export"' in page
    if "expires_in_days" not in fields:
        assert '<option value="90" selected>' in page


async def test_beyond_fifty_the_page_says_so(browser: Browser, robin: Person) -> None:
    async with db.transaction() as session:
        session.add_all(token_row(robin.id, new_api_token()) for _ in range(50))
    answer = await post(browser, PATH, await filled(browser))
    assert answer.status_code == 409
    assert "50 tokens already" in await answer.get_data(as_text=True)


async def test_the_list_says_what_each_token_may_and_when_it_was_used(
    app: Quart, browser: Browser, robin: Person
) -> None:
    secret = await make_token(robin.id, "read", "write")
    page = await shown(browser)
    assert "read, write" in page
    assert "Never" in page
    program = app.test_client()
    await program.get(
        "/api/v1/account", headers=bearer(secret), scope_base={"client": ("192.0.2.7", 1)}
    )
    page = await shown(browser)
    assert "Never" not in page
    assert "from 192.0.2.7" in page


async def test_a_token_is_ended_with_a_button(app: Quart, browser: Browser, robin: Person) -> None:
    secret = await make_token(robin.id)
    [path] = re.findall(rf'action="({PATH}/[^"]+/end)"', await shown(browser))
    stranger = app.test_client()
    await log_in(stranger, await make_person())
    assert (await stranger.post(path)).status_code == 404
    assert (await browser.post(path)).status_code == 303
    page = await shown(browser)
    assert "That token has ended." in page
    assert "No tokens" in page
    used = await app.test_client().get("/api/v1/account", headers=bearer(secret))
    assert used.status_code == 401


async def test_the_page_asks_for_the_password_first_and_ending_does_not(
    browser: Browser, robin: Person
) -> None:
    await make_token(robin.id)
    [path] = re.findall(rf'action="({PATH}/[^"]+/end)"', await shown(browser))
    form = await filled(browser)
    async with db.transaction() as session:
        await session.execute(update(Credential).values(authenticated_at=None))
    for answer in (await browser.get(PATH), await post(browser, PATH, form)):
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/account/reauthenticate?next=")
    assert (await browser.post(path)).status_code == 303
    answer = await browser.post(answer.headers["Location"], form={"password": PASSWORD})
    assert answer.headers["Location"] == PATH
    page = await shown(browser)
    assert "No tokens" in page
    assert 'value="Nightly export"' in page


async def test_the_menu_leads_to_it_once_the_address_is_confirmed(
    app: Quart, browser: Browser
) -> None:
    page = await (await browser.get("/account/manage")).get_data(as_text=True)
    assert f'href="{PATH}"' in page
    unconfirmed = app.test_client()
    await log_in(unconfirmed, await make_person(confirmed=False))
    page = await (await unconfirmed.get("/account/manage")).get_data(as_text=True)
    assert f'href="{PATH}"' not in page
    answer = await unconfirmed.get(PATH)
    assert answer.headers["Location"].startswith("/account/unconfirmed")
