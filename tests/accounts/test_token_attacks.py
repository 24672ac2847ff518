"""What an attacker of tokens tried: acting late, forms of others, floods."""

import asyncio
import re
from collections import Counter
from contextvars import Context
from uuid import uuid4

from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.accounts import service
from app.database import db
from tests.accounts.people.administering import administrator, post
from tests.factories.people import PASSWORD, log_in, make_person, secret_of
from tests.factories.tokens import bearer, make_token
from tests.mail.captured import mails
from tests.web import slow_bodies

ACCOUNT, TOKENS = "/api/v1/account", "/account/tokens"


async def test_a_name_does_not_change_once_the_account_is_disabled(app: Quart) -> None:
    robin = await make_person()
    token = bearer(await make_token(robin.id))
    held, rest = await slow_bodies.begin(
        app, "PATCH", "/api/v1/account", token, {"first_name": "Ghost"}
    )
    async with db.transaction() as session:
        await service.disable_user(session, robin.id)
    assert await slow_bodies.finish(held, rest) == 401


async def test_the_answer_to_an_account_that_is_gone_is_declared(app: Quart) -> None:
    """PATCH /account declares no 404."""
    robin = await make_person()
    token = bearer(await make_token(robin.id))
    held, rest = await slow_bodies.begin(
        app, "PATCH", "/api/v1/account", token, {"first_name": "Ghost"}
    )
    async with db.transaction() as session:
        await service.remove_user(session, robin.id)
    assert await slow_bodies.finish(held, rest) == 401


async def _form(browser: Browser) -> dict[str, object]:
    page = await (await browser.get(TOKENS)).get_data(as_text=True)
    [form_id] = re.findall('name="form_id" value="([^"]+)"', str(page))
    return {"name": "x", "scopes": ["read"], "expires_in_days": "7", "form_id": form_id}


async def _browser(app: Quart) -> Browser:
    browser = app.test_client()
    await log_in(browser, await make_person())
    return browser


async def test_a_form_id_tells_nothing_of_others_credentials(app: Quart) -> None:
    browser, other = await _browser(app), await _browser(app)
    theirs = await (await other.get("/api/v1/account/sessions")).get_json()
    answers = set()
    for form_id in (theirs["items"][0]["id"], str(uuid4())):
        form = await _form(browser) | {"form_id": form_id}
        answers.add((await post(browser, TOKENS, form)).status_code)
    assert len(answers) == 1


async def test_two_people_with_one_form_id_meet_no_error_of_the_server(app: Quart) -> None:
    """On PostgreSQL the second INSERT waits for the first, and then fails."""
    browsers, found = [await _browser(app), await _browser(app)], Counter[int]()
    form = await _form(browsers[0])
    for _ in range(8):
        form["form_id"] = str(uuid4())
        posted = [
            asyncio.create_task(
                post(each, TOKENS, dict(form)),
                context=Context(),
            )
            for each in browsers
        ]
        found.update(answer.status_code for answer in await asyncio.gather(*posted))
    assert found[500] == 0


async def test_logging_in_ends_the_session_of_the_cookie_whatever_the_header_holds(
    app: Quart,
) -> None:
    robin = await make_person()
    browser = app.test_client()
    await log_in(browser, robin)
    before = secret_of(browser)
    login = {"email": robin.email, "password": PASSWORD}
    token = bearer(await make_token(robin.id))
    assert (await browser.post("/api/v1/session", json=login, headers=token)).status_code == 201
    answer = await app.test_client().get("/api/v1/account", headers=bearer(before))
    assert answer.status_code == 401


async def test_the_answer_to_many_mistakes_is_short(app: Quart) -> None:
    boss, _ = await administrator(app)
    wrong = {"name": "n", "index": "main", "grants": [1] * 1_900}
    answer = await boss.post("/api/v1/roles", json=wrong)
    assert answer.status_code == 422
    assert len(await answer.get_data()) < 20_000


async def test_making_and_ending_tokens_fills_no_mailbox(app: Quart) -> None:
    robin = await make_person()
    browser = app.test_client()
    await log_in(browser, robin)
    for _ in range(60):
        made = await browser.post("/api/v1/account/tokens", json={"name": "x", "scopes": ["read"]})
        if made.status_code == 429:
            break
        token = await made.get_json()
        await browser.delete(f"/api/v1/account/tokens/{token['id']}")
    assert len(await mails(browser)) < 60
