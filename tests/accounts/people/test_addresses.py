"""An administrator gives an account another address."""

import pytest
from quart import Quart

from tests.accounts.people.administering import administrator, found, there, told
from tests.accounts.people.test_one_person import invited
from tests.factories.people import PASSWORD, log_in, make_person
from tests.mail.captured import link_to, mails

NEW = "moved@example.com"


async def test_both_addresses_are_told_and_sessions_and_links_end(app: Quart) -> None:
    browser, _ = await administrator(app)
    person, theirs = await make_person(), app.test_client()
    await log_in(theirs, person)
    await theirs.post("/api/v1/account/password/reset/mail", json={"email": person.email})
    link = await link_to(browser, "Reset your password", person.email)
    answer = await browser.patch(f"/api/v1/users/{person.id}", json={"email": "Moved@example.com"})
    assert (await answer.get_json())["email"] == "Moved@example.com", "as it was typed"
    assert (await theirs.get("/api/v1/account")).status_code == 401
    assert (await app.test_client().get(link)).status_code == 410
    now = [each for each in await told(browser) if "Reset" not in each[1]]
    assert now == [
        ("Moved@example.com", "This is the address of your account now"),
        (person.email, "Your address has been changed"),
    ]
    [to_former] = [each for each in await mails(browser) if "changed" in each["subject"]]
    assert "Moved@example.com" in to_former["text"]
    for email, expected in ((person.email, 401), (NEW, 201)):
        form = {"email": email, "password": PASSWORD}
        answer = await app.test_client().post("/api/v1/session", json=form)
        assert answer.status_code == expected
    user = await there(person.id)
    assert (user.email, user.confirmed) == (NEW, True)


@pytest.mark.parametrize("spelling", ["taken@example.com", "Taken@EXAMPLE.com"])
async def test_an_address_that_is_taken_is_refused_in_any_spelling(
    app: Quart, spelling: str
) -> None:
    browser, _ = await administrator(app)
    owner = await make_person(email="taken@example.com")
    person = await make_person()
    answer = await browser.patch(f"/api/v1/users/{person.id}", json={"email": spelling})
    assert (answer.status_code, (await answer.get_json())["code"]) == (409, "email-taken")
    page = await browser.post(f"/admin/user/{person.id}/change-email", form={"email": spelling})
    assert page.status_code == 409
    assert "already exists" in await page.get_data(as_text=True)
    assert (await there(person.id)).email == person.email
    assert (await there(owner.id)).email == "taken@example.com"
    assert await told(browser) == []


async def test_an_invitation_keeps_its_address_from_others(app: Quart) -> None:
    browser, _ = await administrator(app)
    guest, person = await invited(NEW), await make_person()
    answer = await browser.patch(f"/api/v1/users/{person.id}", json={"email": NEW})
    assert answer.status_code == 409
    assert await found(guest)


async def test_a_registration_that_anybody_may_have_made_gives_way(app: Quart) -> None:
    browser, _ = await administrator(app)
    stranger = await make_person(email=NEW, confirmed=False)
    person = await make_person()
    page = await browser.post(f"/admin/user/{person.id}/change-email", form={"email": NEW})
    assert page.status_code == 303
    assert await found(stranger.id) is None
    assert (await there(person.id)).email == NEW


async def test_another_spelling_is_another_address_to_mail_servers(app: Quart) -> None:
    browser, _ = await administrator(app)
    person = await make_person(email="kim@example.com")
    await browser.patch(f"/api/v1/users/{person.id}", json={"email": "Kim@example.com"})
    user = await there(person.id)
    assert (user.email, user.recipient) == ("kim@example.com", "Kim@example.com")
    assert [to for to, _ in await told(browser)] == ["Kim@example.com", "kim@example.com"]


async def test_the_same_address_changes_nothing(app: Quart) -> None:
    browser, me = await administrator(app)
    person, theirs = await make_person(email="Kim@example.com"), app.test_client()
    await log_in(theirs, person)
    for user_id, email in ((person.id, "Kim@example.com"), (me.id, me.email)):
        answer = await browser.patch(f"/api/v1/users/{user_id}", json={"email": email})
        assert answer.status_code == 200
    assert (await theirs.get("/api/v1/account")).status_code == 200
    assert await told(browser) == []


async def test_whoever_is_invited_is_invited_to_the_new_address(app: Quart) -> None:
    browser, _ = await administrator(app)
    guest = await invited("mistyped@example.com")
    former = await link_to(browser, "You are invited", "mistyped@example.com")
    await browser.patch(f"/api/v1/users/{guest}", json={"email": NEW})
    assert (await app.test_client().get(former)).status_code == 410
    link = await link_to(browser, "You are invited", NEW)
    form = {"password": "nine green lanterns hum", "password2": "nine green lanterns hum"}
    assert (await app.test_client().post(link, form=form)).status_code == 303
    assert (await there(guest)).state == "active"


async def test_nobody_is_greeted_by_a_name_at_an_address_that_they_have_not_proved(
    app: Quart,
) -> None:
    browser, _ = await administrator(app)
    person = await make_person(first_name="Mallory", confirmed=False)
    await browser.patch(f"/api/v1/users/{person.id}", json={"email": NEW, "role": "Administrator"})
    sent = await mails(browser)
    assert {each["to"][0] for each in sent} == {NEW}
    assert all("Mallory" not in each["text"] + each["html"] for each in sent)
