"""Changes of the email address: requested and confirmed."""

import asyncio
import contextvars
from datetime import timedelta

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import func, select

from app.accounts import email_change, roles
from app.accounts.schemas import EmailChange
from app.auth import sessions
from app.auth.hashing import passwords
from app.auth.identity import Client
from app.auth.models import Credential, Purpose, User
from app.auth.password_checks import Verified, WrongPassword, require_password
from app.database import db, utcnow
from tests.accounts.email_changes import (
    CONFIRM,
    NEW,
    NOTICE,
    address_of,
    ask,
    status_of_log_in,
)
from tests.factories.people import PASSWORD, log_in, make_person, secret_of
from tests.factories.tokens import bearer, make_token
from tests.mail.acts import CLIENT, signed_in
from tests.mail.captured import link_to, mails, newest, token_of


async def test_the_new_address_counts_once_its_mail_was_read(app: Quart, client: Browser) -> None:
    person = await make_person()
    await log_in(client, person)
    other = app.test_client()
    await log_in(other, person)
    link, _ = await ask(client, "New@Example.com")
    mail = await newest(client, CONFIRM)
    assert mail["to"] == ["New@example.com"], "as it was typed"
    assert await address_of(person) == person.email
    assert "new@example.com" in await (await client.get(link)).get_data(as_text=True)
    assert await address_of(person) == person.email, "looking changes nothing"
    response = await client.post(link)
    assert (response.status_code, response.headers["Location"]) == (303, "/account/manage")
    assert await address_of(person) == "new@example.com"
    assert (await client.get("/account/manage")).status_code == 200, "this session is renewed"
    assert (await other.get("/account/manage")).status_code == 303, "others end"
    assert await status_of_log_in(app, "new@example.com") == 201
    assert await status_of_log_in(app, person.email) == 401
    assert (await client.post(link)).status_code == 410


async def test_the_link_may_be_opened_where_nobody_is_signed_in(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    await log_in(client, person)
    link, _ = await ask(client, "new@example.com")
    elsewhere = app.test_client()
    page = await (await elsewhere.get(link)).get_data(as_text=True)
    assert 'name="password"' in page
    assert person.email not in page, "whoever reads the mail may be a stranger to the account"
    for form in ({}, {"password": ""}, {"password": "not it, surely"}):
        assert (await elsewhere.post(link, form=form)).status_code in (403, 422)
        assert await address_of(person) == person.email
    response = await elsewhere.post(link, form={"password": PASSWORD})
    assert (response.status_code, response.headers["Location"]) == (303, "/account/manage")
    assert (await elsewhere.get("/account/manage")).status_code == 200
    assert (await client.get("/account/manage")).status_code == 303, "all other sessions end"


async def test_the_api_changes_the_address(app: Quart, client: Browser) -> None:
    person = await make_person()
    await log_in(client, person)
    body = {"email": "new@example.com", "password": PASSWORD}
    assert (await client.post("/api/v1/account/email", json=body)).status_code == 202
    token = {"token": token_of(await link_to(client, CONFIRM))}
    program = app.test_client()
    answer = await program.post("/api/v1/account/email/confirmation", json=token)
    assert (answer.status_code, (await answer.get_json())["code"]) == (403, "wrong-password")
    shown = token | {"password": PASSWORD}
    answer = await program.post("/api/v1/account/email/confirmation", json=shown)
    assert answer.status_code == 200
    bearer = {"Authorization": f"Bearer {(await answer.get_json())['session']['token']}"}
    assert (await app.test_client().get("/api/v1/account", headers=bearer)).status_code == 200
    assert await address_of(person) == "new@example.com"
    objection = {"token": token_of(await link_to(client, NOTICE))}
    answer = await app.test_client().post("/api/v1/account/email/objection", json=objection)
    assert await address_of(person) == person.email
    reset = {"token": (await answer.get_json())["token"], "new_password": NEW}
    assert (
        await app.test_client().post("/api/v1/account/password/reset", json=reset)
    ).status_code == 204
    assert await status_of_log_in(app, person.email, NEW) == 201


async def test_a_program_that_confirms_for_itself_gets_a_new_session(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    await log_in(client, person)
    link, _ = await ask(client, "new@example.com")
    former = secret_of(client)
    answer = await client.post("/api/v1/account/email/confirmation", json={"token": token_of(link)})
    token = (await answer.get_json())["session"]["token"]
    statuses = [
        (
            await app.test_client().get(
                "/api/v1/account", headers={"Authorization": f"Bearer {secret}"}
            )
        ).status_code
        for secret in (former, token)
    ]
    assert statuses == [401, 200]
    assert secret_of(client) == token


async def test_an_address_that_somebody_else_got_meanwhile_is_not_taken_from_them(
    client: Browser,
) -> None:
    person = await make_person()
    await log_in(client, person)
    link, objection = await ask(client, "new@example.com")
    await make_person(email="new@example.com")
    response = await client.post(link)
    assert response.status_code == 409
    assert "An account with this email address already exists." in await response.get_data(
        as_text=True
    )
    assert await address_of(person) == person.email
    assert (await client.get(link)).status_code == 200, "nothing has happened, the link goes on"
    assert (await client.post(objection)).status_code == 303


async def test_two_accounts_that_move_to_one_address_at_once_are_settled_by_the_database(
    app: Quart,
) -> None:
    movers = []
    for _ in range(2):
        browser, person = app.test_client(), await make_person()
        await log_in(browser, person)
        movers.append((browser, (await ask(browser, "wanted@example.com"))[0]))
    # Each in a context of its own, as on a server: inside the tests' app context they would share
    # `g`.
    moving = [
        asyncio.create_task(browser.post(link), context=contextvars.Context())
        for browser, link in movers
    ]
    answers = await asyncio.gather(*moving)
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    async with db.session() as session:
        query = select(func.count()).where(User.email == "wanted@example.com")
        assert (await session.execute(query)).scalar_one() == 1


async def test_whether_an_address_has_an_account_is_told_its_owner_alone(
    app: Quart, client: Browser
) -> None:
    person, owner = await make_person(), await make_person(email="taken@example.com")
    await log_in(client, person)
    answers = [
        await client.post("/api/v1/account/email", json={"email": email, "password": PASSWORD})
        for email in ("free@example.com", owner.email)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert await answers[0].get_json() == await answers[1].get_json()
    found = [(mail["to"][0], mail["subject"].partition("] ")[2]) for mail in await mails(client)]
    assert sorted(found) == sorted(
        [
            ("free@example.com", CONFIRM),
            (owner.email, "You already have an account"),
            (person.email, NOTICE),
            (person.email, NOTICE),
        ]
    )


async def test_who_registered_with_a_wrong_address_can_correct_it(
    app: Quart, client: Browser
) -> None:
    """Nobody has proved the wrong address: its mailbox must not get a link that reverts."""
    person = await make_person(confirmed=False)
    await log_in(client, person)
    response = await client.post(
        "/account/manage/change-email", form={"email": "right@example.com", "password": PASSWORD}
    )
    assert response.status_code == 303
    assert [mail["to"] for mail in await mails(client)] == [["right@example.com"]]
    assert (await client.post(await link_to(client, CONFIRM))).status_code == 303
    assert (await client.get("/")).status_code == 200
    async with db.session() as session:
        user = await session.get_one(User, person.id)
    assert (user.email, user.confirmed) == ("right@example.com", True)


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({"email": "robin", "password": PASSWORD}, 422, "Enter an email address"),
        ({"email": "", "password": PASSWORD}, 422, "Enter an email address"),
        ({"email": "new@example.com", "password": ""}, 422, "This field is required."),
        (
            {"email": "new@example.com", "password": "another one entirely"},
            403,
            "This is not your password.",
        ),
        (
            {"email": "same@example.com", "password": PASSWORD},
            409,
            "This is already your email address.",
        ),
    ],
)
async def test_what_does_not_fit_is_said_beside_its_field(
    client: Browser, form: dict[str, str], status: int, message: str
) -> None:
    await log_in(client, await make_person(email="same@example.com"))
    response = await client.post("/account/manage/change-email", form=form)
    page = await response.get_data(as_text=True)
    assert response.status_code == status
    assert message in page
    assert f'value="{form["email"]}"' in page
    assert not form["password"] or form["password"] not in page
    assert await mails(client) == []


async def test_asking_for_another_address_is_limited(client: Browser) -> None:
    await log_in(client, await make_person())
    statuses = []
    for number in range(4):
        body = {"email": f"new{number}@example.com", "password": PASSWORD}
        statuses.append((await client.post("/api/v1/account/email", json=body)).status_code)
    assert statuses == [202] * 3 + [429]


async def test_the_link_works_for_an_hour_and_the_notices_for_a_week(
    client: Browser,
) -> None:
    await log_in(client, await make_person())
    await ask(client, "new@example.com")
    async with db.session() as session:
        rows = (
            (await session.execute(select(Credential).where(Credential.email.is_not(None))))
            .scalars()
            .all()
        )
    lives = {(row.purpose, row.expires_at - row.created_at) for row in rows}
    assert lives == {
        (Purpose.CHANGE_EMAIL, timedelta(hours=1)),
        (Purpose.OBJECT, timedelta(days=7)),
    }


async def test_a_use_that_is_noted_does_not_shorten_an_api_token(
    app: Quart, settings: object
) -> None:
    person = await make_person()
    token = bearer(await make_token(person.id))
    settings.SESSION_TOUCH = 0  # type: ignore[attr-defined]  # the fixture's
    assert (await app.test_client().get("/api/v1/account", headers=token)).status_code == 200
    async with db.session() as session:
        row = (await session.execute(select(Credential))).scalar_one()
    assert row.last_used_at > row.created_at
    assert row.expires_at > utcnow() + timedelta(hours=23)


async def test_an_administrator_stays_one_after_a_change_of_address(client: Browser) -> None:
    person = await make_person(role=roles.ADMINISTRATOR)
    await log_in(client, person)
    await client.post((await ask(client, "new@example.com"))[0])
    assert (await client.get("/admin")).status_code == 200


async def test_ones_data_do_not_tell_whether_the_new_address_has_an_account(
    client: Browser,
) -> None:
    person, owner = await make_person(), await make_person(email="taken@example.com")
    await log_in(client, person)
    shown = []
    for email in ("free@example.com", owner.email):
        await client.post("/api/v1/account/email", json={"email": email, "password": PASSWORD})
        await mails(client)
        shown.append(
            email in await (await client.get("/api/v1/account/data")).get_data(as_text=True)
        )
    assert shown == [False, False]


async def test_a_password_that_changes_meanwhile_changes_no_address(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await make_person()
    actor = await signed_in(person.id)

    async def before_it_changed(*_: object) -> Verified:
        async with db.session() as session:
            hashed = str((await session.get_one(User, person.id)).password_hash)
        return Verified(person.id, f"{hashed}x")

    monkeypatch.setattr(email_change, "require_password", before_it_changed)
    change = EmailChange.model_validate({"email": "new@example.com", "password": PASSWORD})
    with pytest.raises(WrongPassword):
        await email_change.request(actor, change, CLIENT)


async def test_a_link_that_ended_before_its_mail_left_is_not_mailed(client: Browser) -> None:
    await log_in(client, await make_person())
    await client.post(
        "/account/manage/change-email", form={"email": "new@example.com", "password": PASSWORD}
    )
    form = {"old_password": PASSWORD, "new_password": NEW, "new_password2": NEW}
    assert (await client.post("/account/manage/change-password", form=form)).status_code == 303
    assert all("new@example.com" not in mail["to"] for mail in await mails(client))


async def test_a_session_that_was_ended_by_hand_is_not_renewed(app: Quart, client: Browser) -> None:
    person = await make_person()
    await log_in(client, person)
    actor = await sessions.identify(secret_of(client), (Purpose.SESSION,))
    async with db.transaction() as session:
        await sessions.end_session(session, secret_of(client))
        here = Client("127.0.0.1", "", local=True)
        assert await sessions.renew_session(session, actor, person.id, here) is None


async def test_the_password_of_whoever_has_the_former_address_now_opens_nothing(
    app: Quart, client: Browser
) -> None:
    person = await make_person(email="moving@example.com")
    await log_in(client, person)
    actor = await sessions.identify(secret_of(client), (Purpose.SESSION,))
    password_hash = await passwords.hash(NEW)
    async with db.transaction() as session:
        user = await session.get_one(User, person.id)
        user.email, user.password_hash = "moved@example.com", password_hash
    await make_person(email="moving@example.com")
    with pytest.raises(WrongPassword):
        await require_password(actor, PASSWORD, Client("127.0.0.1", "", local=True))
