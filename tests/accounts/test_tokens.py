"""API tokens: made and ended in a session, shown once, ended with what their owner had."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import Context
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from quart.wrappers import Response
from sqlalchemy import func, select, update

from app.accounts import tokens
from app.accounts.token_schemas import TokenIn
from app.auth import sessions
from app.auth.acting import NoLongerSignedIn
from app.auth.models import Credential, Purpose, User
from app.auth.scopes import Scope, SessionRequired
from app.auth.tokens import digest, is_api_token, new_api_token, new_secret
from app.database import db, utcnow
from tests.accounts.people.administering import administrator
from tests.factories.people import PASSWORD, Person, log_in, make_person
from tests.factories.tokens import bearer, make_token, token_row
from tests.mail.acts import signed_in
from tests.mail.captured import newest

PATH = "/api/v1/account/tokens"
ACCOUNT = "/api/v1/account"
WANTED: dict[str, Any] = {"name": "Nightly export", "scopes": ["write", "read"]}
TRY_IT = {"scope_base": {"client": ("192.0.2.7", 1)}}  # from where a program calls
AGENT = "backup/1.0"


async def status(app: Quart, secret: str) -> int:
    answer = await app.test_client().get(ACCOUNT, headers=bearer(secret))
    return answer.status_code


async def row_of(user_id: int) -> Credential:
    mine = (Credential.user_id == user_id, Credential.purpose == Purpose.TOKEN)
    async with db.session() as session:
        return (await session.execute(select(Credential).where(*mine))).scalar_one()


async def at_once(requests: Iterable[Coroutine[Any, Any, Response]]) -> list[Response]:
    """Send requests at the same moment, each in a context of its own, as a server does.

    In that of the test they would share `g`, and with it who is asking.
    """
    return await asyncio.gather(*(asyncio.create_task(r, context=Context()) for r in requests))


async def test_a_token_that_could_do_nothing_is_refused(browser: Browser) -> None:
    for scopes, words in (
        ([], "This field is required."),
        (["administer"], "Choose Read or Write, too."),
    ):
        answer = await browser.post(PATH, json={"name": "x", "scopes": scopes})
        assert answer.status_code == 422
        assert (await answer.get_json())["errors"] == [{"field": "scopes", "message": words}]


async def test_a_token_is_made_shown_once_and_works(
    app: Quart, browser: Browser, robin: Person
) -> None:
    answer = await browser.post(PATH, json={**WANTED, "expires_in_days": 7})
    made = await answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    secret = made.pop("token")
    assert is_api_token(secret)
    [listed] = (await (await browser.get(PATH)).get_json())["items"]
    assert listed == made
    assert (made["name"], made["scopes"]) == ("Nightly export", ["read", "write"])
    assert (made["last_used_at"], made["ip"], made["device"]) == (None, None, None)
    expires = datetime.fromisoformat(made["expires_at"])
    assert expires - datetime.fromisoformat(made["created_at"]) == timedelta(days=7)
    assert await status(app, secret) == 200
    row = await row_of(robin.id)
    assert row.digest == digest(secret)
    stored = [getattr(row, column.key) for column in Credential.__table__.columns]
    assert secret not in str(stored)


async def test_its_owner_is_told_what_was_made_and_not_its_secret(
    browser: Browser, robin: Person
) -> None:
    secret = (await (await browser.post(PATH, json=WANTED)).get_json())["token"]
    mail = await newest(browser, "A token was made for your account", to=robin.email)
    for part in (mail["text"], mail["html"]):
        assert all(words in part for words in ("Nightly export", "read, write", "/account/tokens"))
        assert secret not in part
        assert secret[3:20] not in part


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\u200b"}, "name"),
        ({"name": "https://evil.example"}, "name"),
        ({"name": None}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "everything"]}, "scopes"),
        ({"scopes": ["administer"]}, "scopes"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 367}, "expires_in_days"),
        ({"expires_in_days": None}, "expires_in_days"),
        ({"user_id": 1}, "user_id"),
    ],
)
async def test_what_no_token_can_have_is_refused_at_its_field(
    browser: Browser, change: dict[str, Any], field: str
) -> None:
    answer = await browser.post(PATH, json=WANTED | change)
    assert answer.status_code == 422
    [mistake] = (await answer.get_json())["errors"]
    assert mistake["field"].split(".")[0] == field
    assert (await (await browser.get(PATH)).get_json())["items"] == []


async def test_a_name_is_stored_in_its_one_form(browser: Browser) -> None:
    name = "x" * 99 + "e\u0301"  # one character in NFC
    made = await (await browser.post(PATH, json={**WANTED, "name": f" {name}  "})).get_json()
    assert made["name"] == "x" * 99 + "\u00e9"


async def test_an_administrator_may_let_a_token_administer(app: Quart) -> None:
    boss, _ = await administrator(app)
    made = await boss.post(PATH, json={**WANTED, "scopes": ["administer", "read"]})
    secret = (await made.get_json())["token"]
    answer = await app.test_client().get("/api/v1/users", headers=bearer(secret))
    assert answer.status_code == 200


async def test_it_needs_a_password_that_was_entered_just_now(
    browser: Browser, robin: Person
) -> None:
    async with db.transaction() as session:
        await session.execute(update(Credential).values(authenticated_at=None))
    refused = await browser.post(PATH, json=WANTED)
    assert (refused.status_code, (await refused.get_json())["code"]) == (
        403,
        "reauthentication-required",
    )
    await browser.post("/api/v1/session/reauthentication", json={"password": PASSWORD})
    assert (await browser.post(PATH, json=WANTED)).status_code == 201


async def test_an_unconfirmed_account_makes_none(app: Quart, client: Browser) -> None:
    await log_in(client, await make_person(confirmed=False))
    refused = await client.post(PATH, json=WANTED)
    assert (refused.status_code, (await refused.get_json())["code"]) == (403, "not-confirmed")


async def test_a_token_neither_makes_nor_ends_tokens(app: Quart, robin: Person) -> None:
    secret = await make_token(robin.id)
    row = await row_of(robin.id)
    client = app.test_client()
    for answer in (
        await client.post(PATH, json=WANTED, headers=bearer(secret)),
        await client.delete(f"{PATH}/{row.id}", headers=bearer(secret)),
    ):
        assert (answer.status_code, (await answer.get_json())["code"]) == (403, "session-required")
    # Nor does the domain let it.
    actor = await sessions.identify(secret, (Purpose.TOKEN,))
    with pytest.raises(SessionRequired):
        await tokens.make_token(actor, TokenIn(name="x", scopes={Scope.READ}))
    async with db.transaction() as session:
        with pytest.raises(SessionRequired):
            await tokens.end_token(session, actor, row.id)
    assert await status(app, secret) == 200


async def test_a_password_typed_with_a_token_opens_nothing(app: Quart, robin: Person) -> None:
    secret = await make_token(robin.id)
    password = {"password": PASSWORD}
    path = "/api/v1/session/reauthentication"
    answer = await app.test_client().post(path, json=password, headers=bearer(secret))
    assert answer.status_code == 403
    actor = await sessions.identify(secret, (Purpose.TOKEN,))
    async with db.transaction() as session:
        await sessions.mark_reauthenticated(session, actor)
    assert (await row_of(robin.id)).authenticated_at is None


async def test_a_token_is_ended_by_its_owner_alone(
    app: Quart, browser: Browser, robin: Person
) -> None:
    secret = await make_token(robin.id)
    path = f"{PATH}/{(await row_of(robin.id)).id}"
    other = app.test_client()
    await log_in(other, await make_person())
    assert (await other.delete(path)).status_code == 404
    assert await status(app, secret) == 200
    assert (await browser.delete(path)).status_code == 204
    assert await status(app, secret) == 401
    assert (await browser.delete(path)).status_code == 404


async def test_a_session_is_not_ended_as_a_token(browser: Browser) -> None:
    [row] = (await (await browser.get("/api/v1/account/sessions")).get_json())["items"]
    assert (await browser.delete(f"{PATH}/{row['id']}")).status_code == 404


async def test_of_fifty_tokens_no_fifty_first_is_made_however_many_ask_at_once(
    browser: Browser, robin: Person
) -> None:
    async with db.transaction() as session:
        session.add_all(token_row(robin.id, new_api_token()) for _ in range(48))
        session.add_all(token_row(robin.id, new_api_token(), days=-1) for _ in range(5))
    answers = await at_once(browser.post(PATH, json=WANTED) for _ in range(6))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 4
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert (await refused.get_json())["code"] == "too-many-tokens"
    async with db.session() as session:
        valid = select(func.count(Credential.id)).where(
            Credential.purpose == Purpose.TOKEN, Credential.expires_at > utcnow()
        )
        assert (await session.execute(valid)).scalar_one() == tokens.MOST_TOKENS


@pytest.mark.parametrize("event_", ["session ended", "disabled", "deleted"])
async def test_nothing_is_made_by_whom_was_shut_out_meanwhile(event_: str, robin: Person) -> None:
    actor = await signed_in(robin.id)
    async with db.transaction() as session:
        if event_ == "session ended":
            mine = Credential.id == actor.credential_id
            await session.execute(update(Credential).where(mine).values(expires_at=utcnow()))
        elif event_ == "disabled":
            await session.execute(update(User).values(disabled_at=utcnow()))
        else:
            await session.delete(await session.get_one(User, robin.id))
    with pytest.raises(NoLongerSignedIn):
        await tokens.make_token(actor, TokenIn(name="x", scopes={Scope.READ}))


async def test_one_form_makes_one_token_however_often_it_is_posted(
    app: Quart, browser: Browser, robin: Person
) -> None:
    form = {"name": "Nightly", "scopes": "read", "expires_in_days": "30", "form_id": str(uuid4())}
    answers = await at_once(browser.post("/account/tokens", form=form) for _ in range(4))
    assert sorted(answer.status_code for answer in answers) == [200, 303, 303, 303]
    assert len((await (await browser.get(PATH)).get_json())["items"]) == 1
    # A form of somebody else's makes a token of one's own, as any form does.
    other = app.test_client()
    await log_in(other, await make_person())
    assert (await other.post("/account/tokens", form=form)).status_code == 200
    [made] = (await (await other.get(PATH)).get_json())["items"]
    [first] = (await (await browser.get(PATH)).get_json())["items"]
    assert made["id"] != first["id"]


async def test_ones_data_hold_ones_tokens_without_their_secrets(
    browser: Browser, robin: Person
) -> None:
    secret = await make_token(robin.id, "read")
    data = await (await browser.get("/api/v1/account/data")).get_json()
    [mine] = [each for each in data["credentials"] if each["purpose"] == "token"]
    assert (mine["label"], mine["scopes"]) == ("Robin's program", "read")
    assert "digest" not in mine
    assert secret[3:20] not in str(data)


async def test_administrators_see_and_end_others_tokens(app: Quart, robin: Person) -> None:
    boss, _ = await administrator(app)
    secret = await make_token(robin.id, "read", "write")
    browser = app.test_client()
    await log_in(browser, robin)
    path = f"/api/v1/users/{robin.id}/sessions"
    rows = {each["kind"]: each for each in (await (await boss.get(path)).get_json())["items"]}
    assert rows.keys() == {"session", "token"}
    token, session = rows["token"], rows["session"]
    assert (token["name"], token["scopes"]) == ("Robin's program", ["read", "write"])
    assert (token["last_used_at"], session["name"], session["scopes"]) == (None, None, [])
    page = await (await boss.get(f"/admin/user/{robin.id}")).get_data(as_text=True)
    assert "Robin&#39;s program" in page
    assert "read, write" in page
    assert "Never" in page
    await boss.post(f"/admin/user/{robin.id}/sessions/{token['id']}/end")
    assert await status(app, secret) == 401
    assert (await browser.get(ACCOUNT)).status_code == 200


async def test_however_many_sessions_there_are_an_administrator_finds_the_token(
    app: Quart, robin: Person
) -> None:
    boss, _ = await administrator(app)
    await make_token(robin.id)
    async with db.transaction() as session:
        for _ in range(sessions.LIST_LIMIT + 1):
            row = token_row(robin.id, new_secret())
            row.purpose, row.scopes, row.last_used_at = "session", None, utcnow()
            session.add(row)
    listed = await (await boss.get(f"/api/v1/users/{robin.id}/sessions")).get_json()
    assert sum(each["kind"] == "token" for each in listed["items"]) == 1
