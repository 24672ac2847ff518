"""Changes of the email address that are reverted from the previous address."""

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.accounts import service
from app.database import db
from tests.accounts.email_changes import NEW, NOTICE, address_of, ask, status_of_log_in
from tests.factories.people import PASSWORD, log_in, make_person
from tests.factories.tokens import bearer, make_token
from tests.mail.captured import newest


@pytest.mark.parametrize("confirmed_before", [False, True])
async def test_reverting_keeps_or_restores_the_address_and_logs_everyone_out(
    app: Quart, client: Browser, confirmed_before: bool
) -> None:
    person = await make_person()
    await log_in(client, person)
    link, objection = await ask(client, "thief@example.com")
    assert (await newest(client, NOTICE))["to"] == [person.email]
    if confirmed_before:
        assert (await client.post(link)).status_code == 303
        form = {"old_password": PASSWORD, "new_password": NEW, "new_password2": NEW}
        assert (await client.post("/account/manage/change-password", form=form)).status_code == 303
    owner = app.test_client()
    assert person.email in await (await owner.get(objection)).get_data(as_text=True)
    response = await owner.post(objection)
    assert response.status_code == 303
    assert await address_of(person) == person.email
    assert (await client.get("/account/manage")).status_code == 303, "whoever was in is out"
    assert [
        await status_of_log_in(app, person.email, password) for password in (PASSWORD, NEW)
    ] == [401, 401]
    assert (await client.post(link)).status_code == 410
    reset = response.headers["Location"]
    form = {
        "new_password": "three copper anchors drift",
        "new_password2": "three copper anchors drift",
    }
    assert (await owner.post(reset, form=form)).status_code == 303
    assert await status_of_log_in(app, person.email, "three copper anchors drift") == 201


async def test_the_earliest_address_has_the_last_word(app: Quart, client: Browser) -> None:
    """Whoever took an account over and moves it on gets a link that reverts as well.

    Using it must not consume the owner's.
    """
    person = await make_person()
    await log_in(client, person)
    link, owners = await ask(client, "thief@example.com")
    await client.post(link)
    link, thiefs = await ask(client, "second@example.com")
    await client.post(link)
    assert (await app.test_client().post(thiefs)).status_code == 303
    assert await address_of(person) == "thief@example.com"
    assert (await app.test_client().post(owners)).status_code == 303
    assert await address_of(person) == person.email
    assert (await app.test_client().post(thiefs)).status_code == 410


async def test_api_tokens_survive_a_change_of_address_and_end_when_it_is_reverted(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    await log_in(client, person)
    token = bearer(await make_token(person.id))
    link, objection = await ask(client, "new@example.com")
    await client.post(link)
    assert (await app.test_client().get("/api/v1/account", headers=token)).status_code == 200
    await app.test_client().post(objection)
    assert (await app.test_client().get("/api/v1/account", headers=token)).status_code == 401


async def test_nobody_keeps_an_address_from_its_owner_by_registering_it(
    app: Quart, client: Browser
) -> None:
    """Not even once the account has moved away: reverting the change must still work."""
    person = await make_person()
    await log_in(client, person)
    link, objection = await ask(client, "thief@example.com")
    await client.post(link)
    form = {"first_name": "X", "last_name": "Y", "email": person.email, "password": NEW}
    assert (await app.test_client().post("/api/v1/account", json=form)).status_code == 202
    assert (await app.test_client().post(objection)).status_code == 303
    assert await address_of(person) == person.email


async def test_nothing_can_be_reverted_once_somebody_was_made_administrator(
    app: Quart, client: Browser
) -> None:
    """Whoever has the account's previous address would get the role otherwise."""
    person = await make_person()
    await log_in(client, person)
    link, objection = await ask(client, "boss@example.com")
    await client.post(link)
    async with db.transaction() as session:
        await service.make_administrator(session, "boss@example.com", "$argon2id$")
    assert (await app.test_client().post(objection)).status_code == 410
