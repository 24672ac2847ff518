"""People learn by mail what an administrator did to their account, and only what was done."""

from html import unescape
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.accounts import notices, people, roles
from app.accounts.people_schemas import PersonChange
from app.database import db
from tests.accounts.people.administering import actor, administrator, carry_out, do, there, told
from tests.factories.people import make_person
from tests.mail.captured import mails

PERSON = {"first_name": "Kim", "last_name": "Example", "email": "kim@example.com"}
PASSWORD = "four brown kettles whistle"


async def act_on(browser: Browser, act: str) -> str:
    """Do something to somebody's account that they are told of; returns their address."""
    if act == "created":
        await browser.post("/api/v1/users", json={**PERSON, "password": PASSWORD})
        return PERSON["email"]
    person = await make_person(first_name="Kim")
    path = f"/api/v1/users/{person.id}"
    if act == "enabled":
        await do(browser, "disable", person.id, by_page=False)
        await mails(browser)
    changes = {
        "moved": {"email": "moved@example.com"},
        "address": {"email": "moved@example.com"},
        "role": {"role": "Administrator"},
    }
    if act in changes:
        await browser.patch(path, json=changes[act])
    else:
        wanted = {"disabled": "disable", "enabled": "enable", "deleted": "delete"}[act]
        await do(browser, wanted, person.id, by_page=False)
    return "moved@example.com" if act == "address" else person.email


@pytest.mark.parametrize("act", notices.ADMINISTERED)
async def test_each_act_is_told_in_text_and_html(app: Quart, act: str) -> None:
    browser, _ = await administrator(app)
    email = await act_on(browser, act)
    subject, words = notices.ADMINISTERED[act]
    words = words.format(email="moved@example.com", role="Administrator")
    [mail] = [
        each
        for each in await mails(browser)
        if each["to"] == [email] and each["subject"].endswith(subject)
    ]
    assert words in " ".join(mail["text"].split())
    assert words in unescape(" ".join(mail["html"].split()))
    assert "Hello Kim," in mail["text"]
    has_link = "http://localhost/account/login" in mail["text"]
    assert has_link is (act != "deleted")
    assert PASSWORD not in mail["text"] + mail["html"]


async def test_who_is_told_and_what_is_settled_when_it_is_done(app: Quart) -> None:
    """The mails leave later, when the person may have another address, or no account."""
    browser, _ = await administrator(app)
    person = await make_person()
    await browser.patch(f"/api/v1/users/{person.id}", json={"role": "Administrator"})
    await browser.patch(f"/api/v1/users/{person.id}", json={"email": "moved@example.com"})
    await do(browser, "delete", person.id, by_page=False)
    assert await told(browser) == [
        ("moved@example.com", "This is the address of your account now"),
        ("moved@example.com", "Your account has been deleted"),
        (person.email, "Your address has been changed"),
        (person.email, "Your role has been changed"),
    ]


async def test_what_changes_nothing_tells_nobody(app: Quart) -> None:
    browser, _ = await administrator(app)
    person = await make_person()
    same: dict[str, Any] = {"email": person.email, "role": "User", "first_name": "Robin"}
    for body in ({}, same):
        answer = await browser.patch(f"/api/v1/users/{person.id}", json=body)
        assert answer.status_code == 200
    await do(browser, "enable", person.id, by_page=False)
    body = {"ids": [person.id], "act": "role", "role": "User"}
    await browser.post("/api/v1/users/acts", json=body)
    await browser.post(
        "/api/v1/users/acts", json={"ids": [person.id], "act": "delete", "dry_run": True}
    )
    assert await told(browser) == []


async def test_what_is_undone_tells_nobody(app: Quart) -> None:
    who, person = await actor(), await make_person()

    async def disable_and_fail() -> None:
        async with db.transaction() as session:
            await people.disable(session, who, person.id)
            raise RuntimeError("as planned")

    with pytest.raises(RuntimeError):
        await disable_and_fail()
    taken = PersonChange(role="Administrator", email=person.email.replace("robin", "other"))
    await make_person(email=str(taken.email))
    with pytest.raises(Exception, match="already exists"):
        await carry_out(people.change, who, person.id, taken)
    assert (await there(person.id)).role.name == "User"
    assert await told(app.test_client()) == []


@pytest.mark.parametrize(
    "name", ['<script>alert("x")</script>', "{email} {0} %s {{ 7*7 }}", "A & B <b>"]
)
async def test_a_role_is_text_in_mails_whatever_it_is_called(app: Quart, name: str) -> None:
    browser, _ = await administrator(app)
    made = await browser.post("/api/v1/roles", json={"name": name, "index": "main"})
    assert made.status_code == 201
    person = await make_person(first_name="<i>Kim</i>")
    await browser.patch(f"/api/v1/users/{person.id}", json={"role": name})
    [mail] = await mails(browser)
    assert f"given you the role {name}." in " ".join(mail["text"].split())
    assert "<script>" not in mail["html"]
    assert "<b>" not in mail["html"]
    assert "<i>Kim" not in mail["html"]
    assert f"the role {name}." in unescape(" ".join(mail["html"].split()))


async def test_nobody_unproven_is_told_that_they_are_gone(app: Quart) -> None:
    """A stranger who registers somebody's address must not have mails sent there."""
    browser, _ = await administrator(app)
    person = await make_person(confirmed=False, role=roles.USER)
    await do(browser, "delete", person.id, by_page=False)
    assert await told(browser) == []
