"""Forgotten, changed and outdated passwords, by page and by API."""

import asyncio
import time
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select, update
from werkzeug.security import generate_password_hash

from app.accounts import service
from app.auth.hashing import _score
from app.auth.models import Credential, Purpose, User
from app.config import Config
from app.database import db, utcnow
from tests.factories.people import PASSWORD, Person, log_in, make_person, secret_of
from tests.factories.tokens import bearer, make_token
from tests.mail.captured import link_in, link_to, mails, newest, token_of

NEW = "nine green lanterns hum"
FORM = {"new_password": NEW, "new_password2": NEW}
SUBJECT = "Reset your password"


async def ask(client: Browser, email: str) -> str:
    """Ask for a reset by page; returns the link's path."""
    response = await client.post("/account/reset-password", form={"email": email})
    assert (response.status_code, response.headers["Location"]) == (303, "/account/login")
    return await link_to(client, SUBJECT, email)


async def may_log_in(app: Quart, person: Person, password: str) -> bool:
    credentials = {"email": person.email, "password": password}
    return (await app.test_client().post("/api/v1/session", json=credentials)).status_code == 201


async def test_a_forgotten_password_is_reset_by_the_link_and_only_by_its_button(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    path = await ask(client, person.email)
    page = await client.get(path)
    assert page.status_code == 200
    assert person.email in await page.get_data(as_text=True)
    assert await may_log_in(app, person, PASSWORD), "looking changes nothing"
    response = await client.post(path, form=FORM)
    assert (response.status_code, response.headers["Location"]) == (303, "/account/login")
    assert await may_log_in(app, person, NEW)
    assert not await may_log_in(app, person, PASSWORD)
    assert "Your password has been changed" in (await mails(client))[0]["subject"]
    assert (await client.post(path, form=FORM)).status_code == 410


async def test_the_api_resets_too(app: Quart, client: Browser) -> None:
    person = await make_person()
    response = await client.post(
        "/api/v1/account/password/reset/mail", json={"email": person.email.upper()}
    )
    assert response.status_code == 202
    body = {"token": token_of(await link_to(client, SUBJECT)), "new_password": NEW}
    assert (await client.post("/api/v1/account/password/reset", json=body)).status_code == 204
    again = await client.post("/api/v1/account/password/reset", json=body)
    assert (again.status_code, (await again.get_json())["code"]) == (410, "link-expired")
    assert await may_log_in(app, person, NEW)


async def test_an_unknown_address_gets_the_same_answer_and_nobody_a_mail(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    answers = [
        await app.test_client().post("/api/v1/account/password/reset/mail", json={"email": email})
        for email in (person.email, "nobody@example.com")
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert await answers[0].get_json() == await answers[1].get_json()
    assert [mail["to"] for mail in await mails(client)] == [[person.email]]


async def test_a_disabled_account_is_mailed_nothing_and_its_links_are_dead(client: Browser) -> None:
    person = await make_person()
    path = await ask(client, person.email)
    async with db.transaction() as session:
        await session.execute(update(User).values(disabled_at=utcnow()))
    assert (await client.get(path)).status_code == 410
    assert (await client.post(path, form=FORM)).status_code == 410
    before = len(await mails(client))
    await client.post("/account/reset-password", form={"email": person.email})
    assert len(await mails(client)) == before


async def test_a_reset_link_works_for_half_an_hour(client: Browser) -> None:
    person = await make_person()
    path = await ask(client, person.email)
    query = select(Credential).where(Credential.purpose == Purpose.RESET)
    async with db.transaction() as session:
        [link] = (await session.execute(query)).scalars()
        assert link.expires_at - link.created_at == timedelta(minutes=30)
        link.expires_at = utcnow()
    response = await client.get(path)
    assert response.status_code == 410
    assert "/account/reset-password" in await response.get_data(as_text=True)


async def test_using_one_reset_link_ends_the_others(client: Browser) -> None:
    person = await make_person()
    first, second = await ask(client, person.email), await ask(client, person.email)
    assert first != second
    assert (await client.post(first, form=FORM)).status_code == 303
    assert (await client.get(second)).status_code == 410


async def test_an_address_that_nobody_has_proved_gets_a_link_to_set_its_account_up(
    client: Browser,
) -> None:
    """A stranger may have registered it, so that the name is chosen anew as well."""
    person = await make_person(confirmed=False)
    await client.post("/account/reset-password", form={"email": person.email})
    [mail] = await mails(client)
    assert "Set up your account" in mail["subject"]
    form = {"first_name": "Kim", "last_name": "Guest", "password": NEW, "password2": NEW}
    assert (await client.post(link_in(mail), form=form)).status_code == 303
    async with db.session() as session:
        [user] = (await session.execute(select(User))).scalars()
    assert (user.email, user.first_name, user.confirmed) == (person.email, "Kim", True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"new_password2": "nine green lanterns"}, "The passwords do not match."),
        ({"new_password": "short"}, "Use 12 to 128 characters."),
        (
            {"new_password": "robin example", "new_password2": "robin example"},
            "This password is easy to guess.",
        ),
        ({"new_password": "x" * 129}, "Use at most 128 characters."),
        ({"new_password": ""}, "This field is required."),
    ],
)
async def test_a_reset_that_does_not_fit_says_so_beside_the_field_and_the_link_goes_on(
    client: Browser, change: dict[str, str], message: str
) -> None:
    person = await make_person()
    path = await ask(client, person.email)
    form = FORM | change
    if change == {"new_password": "short"}:
        form["new_password2"] = "short"
    response = await client.post(path, form=form)
    page = await response.get_data(as_text=True)
    assert response.status_code in (409, 422)
    assert message in page
    assert not [value for value in form.values() if value and value in page], "a password is echoed"
    assert (await client.post(path, form=FORM)).status_code == 303


async def test_asking_is_limited_for_each_ip_and_the_mails_for_each_account(
    app: Quart, client: Browser, settings: Config
) -> None:
    """Whoever asks does not learn of the limit of mails, or strangers would shut the owner out."""

    async def attempt(email: str, peer: str) -> int:
        response = await app.test_client().post(
            "/account/reset-password", form={"email": email}, scope_base={"client": (peer, 5000)}
        )
        await mails(client)
        return response.status_code

    person = await make_person()
    assert [await attempt(person.email, f"192.0.2.{n}") for n in range(5)] == [303] * 5
    found = await mails(client)
    assert len(found) == 3
    for mail in found:
        assert (await client.get(link_in(mail))).status_code == 200
    assert (await client.post(link_in(found[0]), form=FORM)).status_code == 303
    assert await attempt(person.email, "192.0.2.1") == 303
    newest = [mail["subject"] for mail in (await mails(client))[:2]]
    assert "[quart-base] Reset your password" in newest, "those do not work now"
    settings.RESET_LIMIT_ADDRESS = "4/hour"
    assert [await attempt(f"b{n}@example.com", "198.51.100.1") for n in range(6)] == [303] * 4 + [
        429
    ] * 2
    settings.RESET_LIMIT_ADDRESS = "1/hour"
    await app.test_client().post("/account/reset-password", form={"email": "a@example.com"})
    response = await client.post(
        "/api/v1/account/password/reset/mail", json={"email": "a@example.com"}
    )
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 3000
    assert response.content_type == "application/problem+json"
    page = await client.post("/account/reset-password", form={"email": "a@example.com"})
    assert page.headers["Retry-After"]
    assert 'value="a@example.com"' in await page.get_data(as_text=True)


async def other_session(app: Quart, person: Person) -> Browser:
    browser = app.test_client()
    await log_in(browser, person)
    return browser


async def test_changing_the_password_renews_this_session_and_ends_the_others(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    await log_in(client, person)
    other, stale = await other_session(app, person), app.test_client()
    before = secret_of(client)
    stale.set_cookie("localhost", "session_testing", before)
    form = {"old_password": PASSWORD, "new_password": NEW, "new_password2": NEW}
    response = await client.post("/account/manage/change-password", form=form)
    assert (response.status_code, response.headers["Location"]) == (303, "/account/manage")
    assert (await client.get("/account/manage")).status_code == 200
    assert (await other.get("/account/manage")).status_code == 303
    assert (await stale.get("/account/manage")).status_code == 303, (
        "the secret from before works no more"
    )
    assert await may_log_in(app, person, NEW)
    assert not await may_log_in(app, person, PASSWORD)
    mail = await newest(client, "Your password has been changed", person.email)
    assert "http://localhost/account/reset-password" in mail["text"]


async def test_the_api_changes_the_password_and_answers_with_a_new_session(app: Quart) -> None:
    person = await make_person()
    program = app.test_client()
    begun = await program.post(
        "/api/v1/session", json={"email": person.email, "password": PASSWORD}
    )
    former = {"Authorization": f"Bearer {(await begun.get_json())['token']}"}
    body = {"old_password": PASSWORD, "new_password": NEW}
    response = await app.test_client().post("/api/v1/account/password", json=body, headers=former)
    assert response.status_code == 200
    now = {"Authorization": f"Bearer {(await response.get_json())['token']}"}
    assert (await app.test_client().get("/api/v1/account", headers=former)).status_code == 401
    assert (await app.test_client().get("/api/v1/account", headers=now)).status_code == 200


async def test_a_change_ends_links_and_api_tokens_too(app: Quart, client: Browser) -> None:
    person = await make_person()
    path = await ask(client, person.email)
    header = bearer(await make_token(person.id))
    assert (await app.test_client().get("/api/v1/account", headers=header)).status_code == 200
    await log_in(client, person)
    form = {"old_password": PASSWORD, "new_password": NEW, "new_password2": NEW}
    assert (await client.post("/account/manage/change-password", form=form)).status_code == 303
    assert (await app.test_client().get("/api/v1/account", headers=header)).status_code == 401
    assert (await client.get(path)).status_code == 410


async def test_a_wrong_old_password_is_said_beside_its_field_and_limited(client: Browser) -> None:
    person = await make_person()
    await log_in(client, person)
    form = {"old_password": "not this one at all", "new_password": NEW, "new_password2": NEW}
    statuses = []
    for _ in range(7):
        response = await client.post("/account/manage/change-password", form=form)
        statuses.append(response.status_code)
        page = await response.get_data(as_text=True)
        assert NEW not in page
        if response.status_code == 403:
            assert 'id="field-old_password-errors"' in page
    assert statuses == [403] * 5 + [429] * 2


async def test_of_two_changes_at_once_one_is_carried_out(app: Quart) -> None:
    person = await make_person()
    browsers = [await other_session(app, person) for _ in range(2)]
    others = ["three copper anchors drift", "seven paper bridges burn"]
    answers = await asyncio.gather(
        *(
            browser.post(
                "/api/v1/account/password", json={"old_password": PASSWORD, "new_password": new}
            )
            for browser, new in zip(browsers, others, strict=True)
        )
    )
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) in ([200, 401], [200, 403])
    winner = others[statuses.index(200)]
    assert [await may_log_in(app, person, password) for password in (winner, PASSWORD)] == [
        True,
        False,
    ]


OLD_HASHES = {
    "pbkdf2": generate_password_hash(PASSWORD, method="pbkdf2:sha256:1000"),
    "scrypt": generate_password_hash(PASSWORD, method="scrypt:1024:8:1"),
    "argon2 with other parameters": PasswordHasher(memory_cost=16, time_cost=2, parallelism=1).hash(
        PASSWORD
    ),
}


@pytest.mark.parametrize("old", OLD_HASHES.values(), ids=OLD_HASHES.keys())
async def test_an_outdated_hash_works_and_is_renewed_at_log_in(app: Quart, old: str) -> None:
    person = await make_person()

    async def stored() -> str:
        async with db.session() as session:
            return str((await session.execute(select(User.password_hash))).scalar_one())

    async with db.transaction() as session:
        await session.execute(update(User).values(password_hash=old))
    assert not await may_log_in(app, person, "a wrong password")
    assert await stored() == old
    assert all(await asyncio.gather(*(may_log_in(app, person, PASSWORD) for _ in range(4)))), (
        "parallel ones too"
    )
    renewed = await stored()
    assert renewed.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await may_log_in(app, person, PASSWORD)
    assert await stored() == renewed


@pytest.mark.parametrize(
    "nonsense", ["", "nonsense", "pbkdf2:md4:x$a$b", "scrypt:1:1:1$a$b", "plain$$x", "$argon2id$x"]
)
async def test_a_hash_that_is_none_lets_nobody_in(app: Quart, nonsense: str) -> None:
    person = await make_person()
    async with db.transaction() as session:
        await session.execute(update(User).values(password_hash=nonsense))
    assert not await may_log_in(app, person, PASSWORD)


async def test_the_meter_says_how_good_a_password_is_and_why_not(client: Browser) -> None:
    async def strength(password: str, *about: str) -> dict[str, object]:
        response = await client.post(
            "/api/v1/password-strength", json={"password": password, "about": list(about)}
        )
        assert response.status_code == 200
        found: dict[str, object] = await response.get_json()
        return found

    assert await strength(PASSWORD) == {"score": 4, "accepted": True, "reason": ""}
    assert (await strength("short"))["reason"] == "Use 12 to 128 characters."
    weak = await strength("passwordpassword")
    assert weak["accepted"] is False
    assert str(weak["reason"]).startswith("This password is easy to guess.")
    name = "Bartholomew Quackenbush"
    assert (await strength(name))["accepted"] is True
    assert (await strength(name, "Bartholomew", "Quackenbush"))["accepted"] is False


@pytest.mark.parametrize(
    "password", ["4@8({[<369&#!1/|0$5+7%2" * 5, "83619472058361947205" * 3, "x9@" * 40]
)
async def test_no_password_takes_long_to_judge(client: Browser, password: str) -> None:
    """Passwords full of characters that stand for several letters took zxcvbn eight seconds."""
    started = time.thread_time()
    _score(password, ["robin@example.com", "Robin"])
    assert time.thread_time() - started < 1


async def test_whoever_is_made_administrator_on_the_command_line_has_the_new_password_alone(
    app: Quart,
) -> None:
    person = await make_person()
    browser = await other_session(app, person)
    async with db.transaction() as session:
        await service.make_administrator(session, person.email, OLD_HASHES["scrypt"])
    assert (await browser.get("/account/manage")).status_code == 303


async def test_who_failed_to_log_in_and_sets_a_new_password_may_log_in_with_it(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    assert not any([await may_log_in(app, person, "not this one at all") for _ in range(6)])
    assert not await may_log_in(app, person, PASSWORD), "too often"
    assert (await client.post(await ask(client, person.email), form=FORM)).status_code == 303
    assert await may_log_in(app, person, NEW)


async def test_separators_around_an_address_get_past_no_limit(client: Browser) -> None:
    person = await make_person()
    for end in ("", "\x1c", "\x1d\x1e", " \x1f", "\x1c\x1c"):
        body = {"email": f"{person.email}{end}"}
        response = await client.post("/api/v1/account/password/reset/mail", json=body)
        assert response.status_code == 202
        await mails(client)
    assert len(await mails(client)) == 3
