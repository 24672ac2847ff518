"""Invitations: an account without a password, and the link to choose one."""

import asyncio
from datetime import timedelta

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select, update

from app.accounts import roles, service
from app.auth.models import Credential, Purpose, User
from app.database import db, utcnow
from tests.factories.people import PASSWORD, invite, make_person
from tests.mail.captured import link_to, mails, token_of

FORM = {"password": PASSWORD, "password2": PASSWORD}
SUBJECT = "You are invited to join"
GUEST = {"email": "guest@example.com", "password": PASSWORD}


async def test_a_guest_chooses_a_password_once_and_is_confirmed(
    app: Quart, client: Browser
) -> None:
    await invite(role=roles.ADMINISTRATOR)
    path = await link_to(client, SUBJECT, "guest@example.com")
    assert path.startswith("/account/join-from-invite/")
    assert "guest@example.com" in await (await client.get(path)).get_data(as_text=True)
    assert (await client.post("/api/v1/session", json=GUEST)).status_code == 401
    response = await client.post(path, form=FORM)
    assert (response.status_code, response.headers["Location"]) == (303, "/account/login")
    assert (await client.post("/api/v1/session", json=GUEST)).status_code == 201
    assert (await client.get("/admin")).status_code == 200, "the role is the one of the invitation"
    assert (await app.test_client().post(path, form=FORM)).status_code == 410


async def test_the_api_accepts_an_invitation(client: Browser) -> None:
    await invite()
    body = {"token": token_of(await link_to(client, SUBJECT)), "password": PASSWORD}
    assert (await client.post("/api/v1/account/invitation", json=body)).status_code == 204
    assert (await client.post("/api/v1/account/invitation", json=body)).status_code == 410
    assert (await client.post("/api/v1/session", json=GUEST)).status_code == 201


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("kind", ["used", "expired", "unknown"])
async def test_a_link_that_works_no_more_explains_itself_and_mails_nobody(
    client: Browser, kind: str
) -> None:
    await invite()
    path = await link_to(client, SUBJECT)
    if kind == "used":
        await client.post(path, form=FORM)
    elif kind == "expired":
        async with db.transaction() as session:
            await session.execute(
                update(Credential).values(expires_at=utcnow() - timedelta(seconds=1))
            )
    else:
        path = f"/account/join-from-invite/{43 * 'x'}"
    before = len(await mails(client))
    for response in (await client.get(path), await client.post(path, form=FORM)):
        page = await response.get_data(as_text=True)
        assert response.status_code == 410
        assert "no longer works" in page
        assert "and we send you a new link" in page
        assert 'href="/account/reset-password"' in page
    assert len(await mails(client)) == before


async def test_whoever_has_not_accepted_yet_gets_a_new_invitation_for_the_asking(
    app: Quart, client: Browser
) -> None:
    await invite()
    first = await link_to(client, SUBJECT)
    await client.post("/account/reset-password", form={"email": "guest@example.com"})
    found = [mail["subject"] for mail in await mails(client)]
    assert len(found) == 2
    assert SUBJECT in found[0]
    second = await link_to(client, SUBJECT)
    assert (await client.post(second, form=FORM)).status_code == 303
    assert (await app.test_client().get(first)).status_code == 410


async def test_an_invitation_works_for_a_week(client: Browser) -> None:
    await invite()
    await mails(client)
    async with db.session() as session:
        rows = (await session.execute(select(Credential))).scalars().all()
    assert {(row.purpose, row.expires_at - row.created_at) for row in rows} == {
        (Purpose.INVITE, timedelta(days=7))
    }


async def test_inviting_an_address_that_has_an_account_is_said_to_the_administrator(
    app: Quart,
) -> None:
    person = await make_person()
    with pytest.raises(service.EmailTaken):
        await invite(person.email.upper())


async def test_registering_an_invited_address_gives_a_stranger_nothing(client: Browser) -> None:
    """The invitation may be an administrator's.

    The owner must not confirm a password that somebody else chose.
    """
    await invite(role=roles.ADMINISTRATOR)
    await mails(client)
    form = {"first_name": "Mallory", "last_name": "X", "email": "guest@example.com", **FORM}
    assert (await client.post("/account/register", form=form)).status_code == 303
    assert SUBJECT in (await mails(client))[0]["subject"]
    own = "three copper anchors drift"
    path = await link_to(client, SUBJECT)
    assert (await client.post(path, form={"password": own, "password2": own})).status_code == 303
    assert (await client.post("/api/v1/session", json=GUEST)).status_code == 401
    assert (await client.post("/api/v1/session", json=GUEST | {"password": own})).status_code == 201
    async with db.session() as session:
        assert (await session.execute(select(User.first_name))).scalar_one() == "Kim"


async def test_a_weak_password_is_refused_and_the_invitation_goes_on(client: Browser) -> None:
    await invite()
    path = await link_to(client, SUBJECT)
    weak = "guest kim guest"
    response = await client.post(path, form={"password": weak, "password2": weak})
    page = await response.get_data(as_text=True)
    assert response.status_code == 422
    assert 'id="field-password-errors"' in page
    assert weak not in page
    assert (await client.post(path, form=FORM)).status_code == 303


async def test_of_20_parallel_acceptances_one_wins(app: Quart, client: Browser) -> None:
    await invite()
    path = await link_to(client, SUBJECT)
    answers = await asyncio.gather(*(app.test_client().post(path, form=FORM) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * 19
    async with db.session() as session:
        assert (await session.execute(select(User.confirmed))).scalars().all() == [True]
