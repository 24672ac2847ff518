"""The pages of a user's own account: name, sessions, data, deletion, re-authentication."""

import asyncio
import contextvars
import json
from datetime import timedelta

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import func, select, update

from app.accounts import roles
from app.auth.models import Credential, Purpose, Role, User
from app.config import Config
from app.database import db, utcnow
from tests.factories.people import PASSWORD, log_in, make_person, secret_of
from tests.mail.captured import mails

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"  # noqa: E501  (as that device says it)


async def test_one_changes_ones_name(client: Browser) -> None:
    await log_in(client, await make_person(first_name="Robin"))
    assert 'value="Robin"' in await (await client.get("/account/manage")).get_data(as_text=True)
    response = await client.post(
        "/account/manage", form={"first_name": "Kim", "last_name": "<b>O'Neil</b>"}
    )
    assert (response.status_code, response.headers["Location"]) == (303, "/account/manage")
    page = await (await client.get("/account/manage")).get_data(as_text=True)
    assert 'value="Kim"' in page
    assert "<b>O" not in page
    answer = await client.patch("/api/v1/account", json={"first_name": "Lu", "last_name": "Li"})
    assert (await answer.get_json())["first_name"] == "Lu"
    assert (await (await client.get("/api/v1/account")).get_json())["last_name"] == "Li"


async def test_a_name_that_does_not_fit_is_kept_and_said_beside_its_field(client: Browser) -> None:
    await log_in(client, await make_person())
    response = await client.post(
        "/account/manage/info", form={"first_name": " ", "last_name": "Kept"}
    )
    page = await response.get_data(as_text=True)
    assert response.status_code == 422
    assert 'id="field-first_name-errors"' in page
    assert 'value="Kept"' in page


async def sessions(client: Browser) -> list[dict[str, object]]:
    body = await (await client.get("/api/v1/account/sessions")).get_json()
    assert body["next"] is None
    items: list[dict[str, object]] = body["items"]
    return items


async def test_sessions_are_listed_with_their_device_and_ended_one_by_one(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    credentials = {"email": person.email, "password": PASSWORD}
    phone = app.test_client()
    for browser, agent in ((client, FIREFOX), (phone, IPHONE)):
        await browser.post("/account/login", form=credentials, headers={"User-Agent": agent})
    page = await (await client.get("/account/sessions")).get_data(as_text=True)
    assert "Firefox on Linux" in page
    assert "Mobile Safari on iOS" in page
    listed = await sessions(client)
    assert [each["current"] for each in listed if each["device"] == "Firefox on Linux"] == [True]
    [other] = [each for each in listed if not each["current"]]
    assert other["address"]
    assert (await client.post(f"/account/sessions/{other['id']}/end")).headers[
        "Location"
    ] == "/account/sessions"
    assert (await phone.get("/account/manage")).status_code == 303
    assert (await client.post(f"/account/sessions/{other['id']}/end")).status_code == 404
    [own] = await sessions(client)
    response = await client.post(f"/account/sessions/{own['id']}/end")
    assert response.headers["Location"] == "/"
    assert (await client.get("/account/manage")).status_code == 303


@pytest.mark.parametrize("agent", ["", "<script>alert(1)</script>", "x" * 300, "curl/8.5.0"])
async def test_any_user_agent_can_be_listed(client: Browser, agent: str) -> None:
    person = await make_person()
    await client.post(
        "/account/login",
        form={"email": person.email, "password": PASSWORD},
        headers={"User-Agent": agent},
    )
    response = await client.get("/account/sessions")
    assert response.status_code == 200
    assert "<script>alert" not in await response.get_data(as_text=True)
    [each] = await sessions(client)
    assert each["device"]


async def test_all_others_end_at_once(app: Quart, client: Browser) -> None:
    person = await make_person()
    others = [app.test_client() for _ in range(3)]
    for browser in (client, *others):
        await log_in(browser, person)
    assert (await others[0].post("/account/sessions/end-others")).status_code == 303
    assert [(await each.get("/account/manage")).status_code for each in others] == [200, 303, 303]
    await log_in(client, person)
    assert (await client.delete("/api/v1/account/sessions")).status_code == 204
    assert (await others[0].get("/account/manage")).status_code == 303


async def test_nobody_ends_or_sees_what_is_somebody_elses(app: Quart, client: Browser) -> None:
    stranger = app.test_client()
    await log_in(stranger, await make_person())
    await log_in(client, await make_person())
    [theirs] = await sessions(stranger)
    assert [each["id"] for each in await sessions(client)] != [theirs["id"]]
    assert (await client.post(f"/account/sessions/{theirs['id']}/end")).status_code == 404
    assert (await client.delete(f"/api/v1/account/sessions/{theirs['id']}")).status_code == 404
    await client.delete("/api/v1/account/sessions")
    assert (await stranger.get("/account/manage")).status_code == 200


async def test_a_link_cannot_be_ended_as_if_it_were_a_session(client: Browser) -> None:
    await log_in(client, await make_person(confirmed=False))
    await client.post("/account/confirm-account")
    change = {"email": "new@example.com", "password": PASSWORD}
    await client.post("/account/manage/change-email", form=change)
    await mails(client)
    async with db.session() as session:
        query = select(Credential).where(Credential.purpose != Purpose.SESSION)
        others = (await session.execute(query)).scalars().all()
    assert {each.purpose for each in others} == {"confirm", "change_email", "device"}
    for each in others:
        path = f"/api/v1/account/sessions/{each.id}"
        assert (await client.delete(path)).status_code == 404, each.purpose


async def make_it_long_ago() -> None:
    """Let eleven minutes pass since every password was checked."""
    async with db.transaction() as session:
        await session.execute(
            update(Credential).values(authenticated_at=utcnow() - timedelta(minutes=11))
        )


async def test_what_is_sensitive_asks_for_the_password_after_ten_minutes(client: Browser) -> None:
    await log_in(client, await make_person())
    assert (await client.get("/account/data")).status_code == 200
    await make_it_long_ago()
    response = await client.get("/account/data")
    assert (response.status_code, response.headers["Location"]) == (
        303,
        "/account/reauthenticate?next=/account/data",
    )
    refused = await client.get("/api/v1/account/data")
    assert (refused.status_code, (await refused.get_json())["code"]) == (
        403,
        "reauthentication-required",
    )
    wrong = await client.post(
        "/account/reauthenticate?next=/account/data", form={"password": "not this one at all"}
    )
    assert wrong.status_code == 403
    assert "This is not your password." in await wrong.get_data(as_text=True)
    assert (await client.get("/account/data")).status_code == 303
    right = await client.post(
        "/account/reauthenticate?next=/account/data", form={"password": PASSWORD}
    )
    assert (right.status_code, right.headers["Location"]) == (303, "/account/data")
    assert (await client.get("/account/data")).status_code == 200
    await make_it_long_ago()
    assert (
        await client.post("/api/v1/session/reauthentication", json={"password": PASSWORD})
    ).status_code == 204
    assert (await client.get("/api/v1/account/data")).status_code == 200


async def test_showing_the_password_leads_to_no_other_site(client: Browser) -> None:
    await log_in(client, await make_person())
    response = await client.post(
        "/account/reauthenticate?next=//evil.example", form={"password": PASSWORD}
    )
    assert response.headers["Location"] == "/"


async def test_one_session_showing_the_password_opens_nothing_in_another(
    app: Quart, client: Browser
) -> None:
    person, other = await make_person(), app.test_client()
    await log_in(client, person)
    await log_in(other, person)
    await make_it_long_ago()
    await other.post("/account/reauthenticate", form={"password": PASSWORD})
    assert (await other.get("/account/data")).status_code == 200
    assert (await client.get("/account/data")).status_code == 303


async def test_ones_data_are_all_there_and_no_secret_is(app: Quart, client: Browser) -> None:
    person = await make_person()
    stranger = await make_person(email="stranger@example.com")
    await log_in(app.test_client(), stranger)
    await log_in(client, person)
    await client.post("/account/reset-password", form={"email": person.email})
    response = await client.get("/account/data")
    assert response.headers["Content-Disposition"] == 'attachment; filename="my-data.json"'
    text = await response.get_data(as_text=True)
    data = json.loads(text)
    assert (data["account"]["email"], data["account"]["role"]) == (person.email, "User")
    kept = {each["purpose"]: each for each in data["credentials"]}
    assert sorted(kept) == ["device", "session"]
    assert kept["session"]["user_agent"] is not None
    for secret in ("argon2", "digest", "password_hash", secret_of(client), stranger.email):
        assert secret not in text
    assert data == await (await client.get("/api/v1/account/data")).get_json()
    columns = {column.name for column in User.__table__.columns}
    assert columns - {"password_hash"} <= set(data["account"]), (
        "a new column is exported unless it is a secret"
    )


async def test_deleting_the_account_takes_the_password_and_all_that_belongs_to_it(
    app: Quart, client: Browser
) -> None:
    person, other = await make_person(), app.test_client()
    await log_in(client, person)
    await log_in(other, person)
    wrong = await client.post("/account/delete", form={"password": "not this one at all"})
    assert wrong.status_code == 403
    assert person.email in await (await client.get("/account/delete")).get_data(as_text=True), (
        "it says what is lost"
    )
    response = await client.post("/account/delete", form={"password": PASSWORD})
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert "Your account has been deleted." in await (await client.get("/")).get_data(as_text=True)
    assert (await other.get("/account/manage")).status_code == 303
    assert (
        await client.post("/api/v1/session", json={"email": person.email, "password": PASSWORD})
    ).status_code == 401
    async with db.session() as session:
        for model in (User, Credential):
            assert (
                await session.execute(select(func.count()).select_from(model))
            ).scalar_one() == 0


async def test_the_last_administrator_cannot_go(app: Quart, client: Browser) -> None:
    first = await make_person(role=roles.ADMINISTRATOR)
    await log_in(client, first)
    response = await client.post("/account/delete", form={"password": PASSWORD})
    assert response.status_code == 409
    assert "the only administrator" in await response.get_data(as_text=True)
    disabled = await make_person(role=roles.ADMINISTRATOR)
    async with db.transaction() as session:
        await session.execute(
            update(User).where(User.id == disabled.id).values(disabled_at=utcnow())
        )
    assert (
        await client.post("/api/v1/account/deletion", json={"password": PASSWORD})
    ).status_code == 409
    await make_person(role=roles.ADMINISTRATOR)
    assert (
        await client.post("/api/v1/account/deletion", json={"password": PASSWORD})
    ).status_code == 204


async def test_of_two_administrators_who_go_at_once_one_stays(app: Quart) -> None:
    browsers = []
    for _ in range(2):
        browsers.append(app.test_client())
        await log_in(browsers[-1], await make_person(role=roles.ADMINISTRATOR))
    # Each in a context of its own, as on a server: inside the tests' app context they would share
    # `g`.
    leaving = [
        asyncio.create_task(
            browser.post("/api/v1/account/deletion", json={"password": PASSWORD}),
            context=contextvars.Context(),
        )
        for browser in browsers
    ]
    assert sorted(answer.status_code for answer in await asyncio.gather(*leaving)) == [204, 409]


async def test_a_session_ends_in_the_end_however_much_it_is_used(
    client: Browser, settings: Config
) -> None:
    person = await make_person()
    form = {"email": person.email, "password": PASSWORD, "remember_me": "on"}
    await client.post("/account/login", form=form)
    settings.SESSION_TOUCH = 0
    async with db.transaction() as session:
        began = utcnow() - timedelta(days=89, hours=23)
        await session.execute(update(Credential).values(created_at=began))
    assert (await client.get("/account/manage")).status_code == 200
    async with db.session() as session:
        query = select(Credential).where(Credential.purpose == Purpose.SESSION)
        row = (await session.execute(query)).scalar_one()
    assert row.expires_at == began + timedelta(days=90)
    async with db.transaction() as session:
        await session.execute(update(Credential).values(created_at=utcnow() - timedelta(days=90)))
    await client.get("/account/manage")
    assert (await client.get("/account/manage")).status_code == 303


async def test_registering_the_administrators_address_makes_nobody_one(
    client: Browser, settings: Config
) -> None:
    form = {
        "first_name": "Mallory",
        "last_name": "X",
        "email": settings.ADMIN_EMAIL,
        "password": PASSWORD,
    }
    assert (await client.post("/api/v1/account", json=form)).status_code == 202
    async with db.session() as session:
        query = select(Role.name).join(User)
        assert (await session.execute(query)).scalars().all() == ["User"]
