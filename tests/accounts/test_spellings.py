# ruff: noqa: RUF001  (characters that look alike are what this is about)
"""One person, many spellings of an address or a password: the same account at every door."""

import unicodedata
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from quart.wrappers import Response
from sqlalchemy import select, text, update

from app.accounts import commands, service
from app.auth.hashing import passwords
from app.auth.models import Purpose, User
from app.auth.tokens import email_key
from app.config import Config, load_settings
from app.database import db
from app.health.probes import check
from app.validators.email_address import email_address
from tests.accounts import surfaces
from tests.accounts.surfaces import LINKS, Flow
from tests.factories.people import PASSWORD, Person, invite, make_person
from tests.mail.captured import link_to, mails, newest, token_of

NORMAL = "jörg.süß@bücher.example"
SPELLINGS = {
    "as it is": NORMAL,
    "capitals": "JÖRG.SÜß@BÜCHER.EXAMPLE",
    "a Mac's": unicodedata.normalize("NFD", NORMAL),
    "a browser's": "jörg.süß@xn--bcher-kva.example",
    "a browser's in capitals": "Jörg.Süß@XN--BCHER-KVA.Example",
    "full width": "jörg.süß@ｂüｃｈｅｒ．ｅｘａｍｐｌｅ",
    "a Japanese stop": "jörg.süß@bücher。example",
    "the root": "jörg.süß@bücher.example.",
    "blanks": " \u00a0jörg.süß@bücher.example\u200b ",
    "brackets": "<jörg.süß@bücher.example>",
}
OTHERS = {
    "another mailbox": "jörg.süss@bücher.example",
    "another domain": NORMAL.replace("bücher", "bucher"),
}
QUICK = ("a Mac's", "a browser's in capitals")  # the others are tried by the continuous check
spelled = pytest.mark.parametrize(
    "written",
    [
        pytest.param(
            text,
            id=name,
            marks=[] if name in QUICK else [pytest.mark.faults, pytest.mark.waits],
        )
        for name, text in SPELLINGS.items()
    ],
)
by_both = pytest.mark.parametrize("by_page", [True, False], ids=["page", "API"])


async def send(client: Browser, flow: Flow, by_page: bool, **fields: Any) -> Response:
    request = flow.request(fields, by_page=by_page)
    kind: dict[str, Any] = {"form" if by_page else "json": request.fields}
    return await client.open(request.path, method=request.method, **kind)


async def logs_in(app: Quart, email: str, password: str = PASSWORD, by_page: bool = False) -> bool:
    """Try to log in from a new browser."""
    answer = await send(app.test_client(), surfaces.LOG_IN, by_page, email=email, password=password)
    assert answer.status_code in (201, 303, 401)
    return answer.status_code != 401


async def users() -> list[User]:
    async with db.session() as session:
        return list((await session.execute(select(User).order_by(User.id))).scalars())


@spelled
@by_both
async def test_whoever_registers_logs_in_and_resets_by_any_spelling(
    app: Quart, client: Browser, written: str, by_page: bool
) -> None:
    person = {"first_name": "Kim", "last_name": "Guest", "email": written, "password": PASSWORD}
    assert (await send(client, surfaces.REGISTER, by_page, **person)).status_code in (202, 303)
    [user] = await users()
    assert user.email == NORMAL
    mail = await newest(client, "Confirm your account")
    assert mail["to"] == [user.recipient] == [email_address(written).as_typed]
    await client.post(await link_to(client, "Confirm your account"))
    assert await logs_in(app, written, by_page=by_page)
    assert await logs_in(app, NORMAL, by_page=by_page)
    # Registering again reaches the owner, and makes no second account.
    await send(app.test_client(), surfaces.REGISTER, by_page, **person)
    assert (await newest(client, "You already have an account"))["to"] == mail["to"]
    await send(app.test_client(), surfaces.REQUEST_RESET, by_page, email=written)
    assert (await newest(client, "Reset your password"))["to"] == mail["to"]
    assert len(await users()) == 1
    assert len(await mails(client)) == 3


@by_both
async def test_one_logs_in_by_every_spelling(app: Quart, by_page: bool) -> None:
    await make_person(email=NORMAL)
    for each in SPELLINGS.values():
        assert await logs_in(app, each, by_page=by_page), each
    for each in OTHERS.values():
        assert not await logs_in(app, each, by_page=by_page), each


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("written", [SPELLINGS["a Mac's"], SPELLINGS["a browser's in capitals"]])
@by_both
async def test_a_changed_address_is_its_owners_by_any_spelling(
    app: Quart, client: Browser, written: str, by_page: bool
) -> None:
    person = await make_person()
    await client.post("/account/login", form={"email": person.email, "password": PASSWORD})
    change = {"email": written, "password": PASSWORD}
    answer = await send(client, surfaces.REQUEST_EMAIL_CHANGE, by_page, **change)
    assert answer.status_code in (202, 303)
    assert (await newest(client, "Confirm your new email"))["to"] == [
        email_address(written).as_typed
    ]
    await client.post(await link_to(client, "Confirm your new email"))
    [user] = await users()
    assert (user.email, user.recipient) == (NORMAL, email_address(written).as_typed)
    for each in (written, NORMAL):
        change["email"] = each
        same = await send(client, surfaces.REQUEST_EMAIL_CHANGE, by_page, **change)
        assert same.status_code == 409, each
    assert await logs_in(app, NORMAL)
    # The objection gives the former address back.
    await client.post(await link_to(client, "Your email address is about to change"))
    [user] = await users()
    assert (user.email, user.email_as_typed) == (person.email, None)


@spelled
async def test_an_invitation_an_administrator_and_the_limits_know_every_spelling(
    app: Quart, written: str
) -> None:
    assert email_key(written) == email_key(NORMAL)
    assert email_key(written) not in map(email_key, OTHERS.values())
    await invite(written)
    with pytest.raises(service.EmailTaken):
        await invite(NORMAL)
    password_hash = await passwords.hash(PASSWORD)
    async with db.transaction() as session:
        assert not await service.make_administrator(session, written, password_hash)
    async with db.session() as session:
        found = await service.find_user(session, written)
    [user] = await users()
    assert found is not None
    assert found.id == user.id
    assert user.email == NORMAL
    assert await logs_in(app, written)


@pytest.mark.parametrize("written", [SPELLINGS["a Mac's"], SPELLINGS["a browser's in capitals"]])
async def test_the_commands_and_the_setting_know_every_spelling(
    app: Quart, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("ADMIN_EMAIL", written)
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    assert load_settings("testing").ADMIN_EMAIL == NORMAL
    await commands.setup_dev("testing")
    assert await commands.create_admin(written, PASSWORD, "testing") is False
    assert [user.email for user in await users()] == [NORMAL]
    assert await logs_in(app, NORMAL)


@by_both
async def test_what_no_account_can_have_is_unknown_or_refused_in_words(
    client: Browser, by_page: bool
) -> None:
    long = f"{31 * 'İ'}@{'.'.join(60 * letter for letter in 'xyz')[:-5]}.com"
    for written in (long, "a@xn--zzzzzzzzzz99999.example", "a@\u2603\u200d."):
        login = {"email": written, "password": PASSWORD}
        assert (await send(client, surfaces.LOG_IN, by_page, **login)).status_code == 401
        reset = await send(client, surfaces.REQUEST_RESET, by_page, email=written)
        assert reset.status_code in (202, 303)
        person = login | {"first_name": "Kim", "last_name": "Guest"}
        answer = await send(client, surfaces.REGISTER, by_page, **person)
        assert answer.status_code == 422
        assert "Enter an email address" in await answer.get_data(as_text=True)
    assert await users() == []
    assert await mails(client) == []


async def test_two_accounts_of_one_address_are_listed_and_each_is_found(app: Quart) -> None:
    newer = await make_person(email=NORMAL)
    older = await make_person()
    stored = "jörg.süß@xn--bcher-kva.example"
    password_hash = await passwords.hash("nine green lanterns hum")
    async with db.transaction() as session:
        values = {"email": stored, "password_hash": password_hash}
        await session.execute(update(User).where(User.id == older.id).values(**values))
    assert await logs_in(app, stored, "nine green lanterns hum")
    assert await logs_in(app, NORMAL)
    assert not await logs_in(app, stored), "the address exactly as stored decides"
    assert not await logs_in(app, NORMAL, "nine green lanterns hum")
    client = app.test_client()
    await send(client, surfaces.REQUEST_RESET, False, email=stored)
    path = await link_to(client, "Reset your password")
    reset = LINKS[Purpose.RESET].use(token_of(path), "three copper anchors drift", by_page=False)
    await client.post(reset.path, json=reset.fields)
    assert await logs_in(app, stored, "three copper anchors drift")
    assert await logs_in(app, NORMAL), "the other account's password is the same"
    [found] = [each for each in await check(app) if each.id == "qb.W050"]
    assert f"user {older.id} has {stored}, which user {newer.id} has" in found.message
    async with db.transaction() as session:
        await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": newer.id})
    [found] = [each for each in await check(app) if each.id == "qb.W050"]
    assert f"user {older.id} has {stored}, its normal form is {NORMAL}" in found.message
    async with db.transaction() as session:
        await session.execute(update(User).values(email=NORMAL))
    assert [each for each in await check(app) if each.id == "qb.W050"] == []


# Passwords


COMPOSED = "märchen über grüne äpfel ﬁndet ①"  # NFC
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)  # what a Mac sends
NEW = "drei süße mäuse hören ﬂöten"
NEW_DECOMPOSED = unicodedata.normalize("NFKD", NEW)


async def person_with(password: str) -> Person:
    person = await make_person()
    async with db.transaction() as session:
        await session.execute(update(User).values(password_hash=await passwords.hash(password)))
    return person


@pytest.mark.faults
@pytest.mark.waits
@by_both
@pytest.mark.parametrize("first", [COMPOSED, DECOMPOSED], ids=["composed", "decomposed"])
async def test_a_password_is_the_same_however_it_is_typed(
    app: Quart, by_page: bool, first: str
) -> None:
    second = DECOMPOSED if first == COMPOSED else COMPOSED
    client = app.test_client()
    names = {"first_name": "Kim", "last_name": "Guest", "email": "kim@example.com"}
    await send(client, surfaces.REGISTER, by_page, **names, password=first)
    await client.post(await link_to(client, "Confirm your account"))
    assert await logs_in(app, "kim@example.com", second, by_page)
    assert await logs_in(app, "kim@example.com", first, by_page)
    client = app.test_client()
    form = {"email": "kim@example.com", "password": second}
    assert (await client.post("/account/login", form=form)).status_code == 303
    again = await send(client, surfaces.REAUTHENTICATE, by_page, password=second)
    assert again.status_code in (204, 303)
    change = {"old_password": second, "new_password": NEW}
    changed = await send(client, surfaces.CHANGE_PASSWORD, by_page, **change)
    assert changed.status_code in (200, 303)
    assert await logs_in(app, "kim@example.com", NEW_DECOMPOSED, by_page)
    await send(client, surfaces.REQUEST_RESET, False, email="kim@example.com")
    path = await link_to(client, "Reset your password")
    reset = LINKS[Purpose.RESET].use(token_of(path), first, by_page=by_page)
    kind: dict[str, Any] = {"form" if by_page else "json": reset.fields}
    assert (await app.test_client().post(reset.path, **kind)).status_code in (204, 303)
    client = app.test_client()
    assert (await client.post("/account/login", form=form)).status_code == 303
    deleted = await send(client, surfaces.DELETE_ACCOUNT, by_page, password=second)
    assert deleted.status_code in (204, 303)
    assert await users() == []


@by_both
async def test_an_invited_user_and_an_administrator_too(app: Quart, by_page: bool) -> None:
    await invite()
    path = await link_to(app.test_client(), "You are invited to join")
    accepted = LINKS[Purpose.INVITE].use(token_of(path), DECOMPOSED, by_page=by_page)
    kind: dict[str, Any] = {"form" if by_page else "json": accepted.fields}
    assert (await app.test_client().post(accepted.path, **kind)).status_code in (204, 303)
    assert await logs_in(app, "guest@example.com", COMPOSED, by_page)
    await commands.create_admin("boss@example.com", DECOMPOSED, "testing")
    assert await logs_in(app, "boss@example.com", COMPOSED, by_page)


async def test_the_two_fields_of_a_form_may_be_spelled_differently(client: Browser) -> None:
    form = {"first_name": "Kim", "last_name": "Guest", "email": "kim@example.com"}
    twice = {"password": COMPOSED, "password2": DECOMPOSED}
    assert (await client.post("/account/register", form=form | twice)).status_code == 303
    other = {"password": COMPOSED, "password2": COMPOSED + "!"}
    assert (await client.post("/account/register", form=form | other)).status_code == 422


@pytest.mark.parametrize("hashed", [COMPOSED, DECOMPOSED], ids=["composed", "decomposed"])
@pytest.mark.parametrize("typed", [COMPOSED, DECOMPOSED], ids=["by one", "by the other"])
async def test_a_hash_of_an_earlier_release_works_once_more_and_is_replaced(
    app: Quart, hashed: str, typed: str
) -> None:
    person = await make_person()
    raw = app.extensions["passwords"]._hasher.hash(hashed)  # as it was sent
    async with db.transaction() as session:
        await session.execute(update(User).values(password_hash=raw))
    assert await logs_in(app, person.email, typed)
    [user] = await users()
    assert user.password_hash != raw
    assert await logs_in(app, person.email, COMPOSED)
    assert await logs_in(app, person.email, DECOMPOSED)


async def test_the_default_password_is_known_in_any_spelling(app: Quart) -> None:
    """It logs in from this machine alone, which a test's browser is not."""
    person = await person_with("password")
    for written in ("password", "ｐassword", "ｐａｓｓｗｏｒｄ"):
        assert not await logs_in(app, person.email, written), written


@by_both
async def test_the_length_of_a_password_is_that_of_its_normal_form(
    app: Quart, client: Browser, by_page: bool
) -> None:
    names = {"first_name": "Kim", "last_name": "Guest"}
    korean = "".join(chr(0xAC00 + n * 7919 % 11172) for n in range(126))  # syllables
    long = unicodedata.normalize("NFD", korean)
    assert len(long) > 250
    kim = names | {"email": "kim@example.com"}
    answer = await send(client, surfaces.REGISTER, by_page, **kim, password=long)
    assert answer.status_code in (202, 303)
    await client.post(await link_to(client, "Confirm your account"))
    assert await logs_in(app, "kim@example.com", korean, by_page)
    for password in (128 * "ﷺ", korean + "abc", 513 * "a"):
        guest = names | {"email": "guest@example.com"}
        browser = app.test_client()
        answer = await send(browser, surfaces.REGISTER, by_page, **guest, password=password)
        assert answer.status_code in (409, 422), password
    # What an earlier release let in still logs in.
    async with db.transaction() as session:
        raw = app.extensions["passwords"]._hasher.hash(128 * "ﷺ")
        await session.execute(update(User).values(password_hash=raw))
    assert await logs_in(app, "kim@example.com", 128 * "ﷺ", by_page)


async def test_unknown_and_known_people_cost_the_same_whatever_the_spelling(
    app: Quart, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await person_with(COMPOSED)
    own = app.extensions["passwords"]
    real, calls = own._matches, []

    def counted(password_hash: str, password: str) -> bool:
        calls.append(password)
        return bool(real(password_hash, password))

    monkeypatch.setattr(own, "_matches", counted)
    for password in ("wrong plain words", DECOMPOSED + "wrong"):
        counts = []
        for email in (person.email, "nobody@example.com"):
            calls.clear()
            assert not await logs_in(app, email, password)
            counts.append(len(calls))
        assert counts[0] == counts[1], password
