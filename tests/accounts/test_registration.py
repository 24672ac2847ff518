"""Registering and confirming, by page and by API."""

import asyncio
from datetime import timedelta

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import func, select, update

from app.auth.models import Credential, User
from app.config import Config
from app.database import db, utcnow
from app.jobs.models import Job
from app.mail.models import OutboxMail
from tests.factories.people import PASSWORD, log_in, make_person
from tests.mail.captured import link_in, link_to, mails

FORM = {
    "first_name": "Robin",
    "last_name": "Example",
    "email": "robin@example.com",
    "password": PASSWORD,
    "password2": PASSWORD,
}
API = {name: value for name, value in FORM.items() if name != "password2"}


async def users() -> list[User]:
    async with db.session() as session:
        return list((await session.execute(select(User).order_by(User.id))).scalars())


async def test_one_registers_confirms_and_is_in(client: Browser) -> None:
    response = await client.post("/account/register", form=FORM)
    assert (response.status_code, response.headers["Location"]) == (303, "/account/login")
    assert "robin@example.com" in await (await client.get("/account/login")).get_data(as_text=True)
    [mail] = await mails(client)
    assert mail["to"] == ["robin@example.com"]
    assert "Confirm your account" in mail["subject"]
    path = link_in(mail)
    assert path in mail["html"]
    page = await (await client.get(path)).get_data(as_text=True)
    assert "robin@example.com" in page
    assert (await client.head(path)).status_code == 200
    assert (await client.options(path)).status_code == 200
    assert (await users())[0].confirmed is False, "looking confirms nothing"
    assert (await client.post(path)).headers["Location"] == "/", "one mail, one press"
    [user] = await users()
    assert (user.confirmed, user.first_name, user.last_name) == (True, "Robin", "Example")
    assert (await client.get("/account/manage")).status_code == 200


async def test_the_api_registers_and_confirms(app: Quart, client: Browser) -> None:
    response = await client.post("/api/v1/account", json=API)
    assert response.status_code == 202
    token = link_in((await mails(client))[0]).rpartition("/")[2]
    confirmation = {"token": token, "password": PASSWORD}
    program = app.test_client()
    response = await program.post("/api/v1/account/confirmation", json=confirmation)
    assert response.status_code == 200
    assert (await users())[0].confirmed
    secret = (await response.get_json())["session"]["token"]
    bearer = {"Authorization": f"Bearer {secret}"}
    account = await (await app.test_client().get("/api/v1/account", headers=bearer)).get_json()
    assert (account["email"], account["confirmed"]) == ("robin@example.com", True)
    again = await client.post("/api/v1/account/confirmation", json=confirmation)
    assert (again.status_code, (await again.get_json())["code"]) == (410, "link-expired")


@pytest.mark.parametrize("path", [f"/account/confirm-account/{43 * 'x'}", "used", "expired"])
async def test_a_link_that_does_not_work_explains_itself(
    app: Quart, client: Browser, path: str
) -> None:
    if path in ("used", "expired"):
        await client.post("/account/register", form=FORM)
        kind, path = path, link_in((await mails(client))[0])
        if kind == "used":
            await client.post(path)
        async with db.transaction() as session:
            if kind == "expired":
                await session.execute(
                    update(Credential).values(expires_at=utcnow() - timedelta(seconds=1))
                )
    elsewhere = app.test_client()
    for response in (await elsewhere.get(path), await elsewhere.post(path)):
        assert response.status_code == 410
        page = await response.get_data(as_text=True)
        assert "no longer works" in page
        assert "/account/login" in page


async def test_of_20_parallel_uses_of_a_link_one_wins(client: Browser) -> None:
    await client.post("/account/register", form=FORM)
    path = link_in((await mails(client))[0])
    statuses = [
        r.status_code for r in await asyncio.gather(*(client.post(path) for _ in range(20)))
    ]
    assert sorted(statuses) == [303] + [410] * 19


async def test_a_taken_address_gets_the_same_answer_and_its_owner_a_mail(
    app: Quart, client: Browser
) -> None:
    person = await make_person(email="Taken@Example.com")
    as_typed = "Taken@example.com"  # where mail goes
    free = await app.test_client().post("/account/register", form=FORM)
    taken = await client.post("/account/register", form={**FORM, "email": "tAken@example.com"})
    assert (taken.status_code, taken.headers["Location"]) == (
        free.status_code,
        free.headers["Location"],
    )
    assert len(await users()) == 2
    sent = {mail["to"][0]: mail for mail in await mails(client)}
    assert "You already have an account" in sent[as_typed]["subject"]
    assert "Confirm your account" in sent["robin@example.com"]["subject"]
    assert "/account/confirm-account" not in sent[as_typed]["text"]
    async with db.session() as session:
        [user] = (await session.execute(select(User).where(User.id == person.id))).scalars()
    assert (user.first_name, user.email) == (person.first_name, "taken@example.com")


async def test_a_mail_that_is_sent_twice_holds_links_that_work(client: Browser) -> None:
    """The first may have arrived, and then a mail server may drop the second as a duplicate."""
    await client.post("/account/register", form=FORM)
    [first] = await mails(client)
    async with db.transaction() as session:
        await session.execute(update(Job).values(state="waiting", due_at=utcnow()))
        await session.execute(update(OutboxMail).values(sent_at=None))
    second, _ = await mails(client)
    assert link_in(first) != link_in(second)
    assert (await client.get(link_in(second))).status_code == 200
    assert (await client.post(link_in(first))).status_code == 303
    assert (await client.post(link_in(second))).status_code == 410


async def test_8_parallel_registrations_of_one_address_make_one_account(
    app: Quart, client: Browser
) -> None:
    spellings = [
        "robin@example.com",
        "ROBIN@example.com",
        "Robin@Example.COM",
        "robin@EXAMPLE.com",
    ] * 2
    answers = await asyncio.gather(
        *(
            app.test_client().post("/account/register", form={**FORM, "email": email})
            for email in spellings
        )
    )
    assert {(answer.status_code, answer.headers["Location"]) for answer in answers} == {
        (303, "/account/login")
    }
    assert [user.email for user in await users()] == ["robin@example.com"]
    # The first one's, and one to set the account up for each of the others.
    assert len(await mails(client)) == 8


async def test_the_database_itself_refuses_a_second_account(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.accounts import service

    async def nobody(*_: object) -> None:
        return None

    await make_person(email="taken@example.com")
    monkeypatch.setattr(service, "find_user", nobody)
    with pytest.raises(service.EmailTaken):
        await make_person(email="taken@example.com")
    assert len(await users()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"email": "robin"}, "Enter an email address, like name@example.com."),
        (
            {"email": "robin@example.com\r\nBcc: x@example.com"},
            "Enter an email address, like name@example.com.",
        ),
        (
            {"email": "=?utf-8?q?all=40example.org=2C?=@example.com"},
            "Enter an email address, like name@example.com.",
        ),
        ({"first_name": " "}, "This field is required."),
        (
            {"first_name": "Robin\r\nBcc: x@example.com"},
            "A name cannot hold a line break (U+000D).",
        ),
        ({"last_name": "x" * 65}, "Use at most 64 characters."),
        ({"password2": "another one, surely"}, "The passwords do not match."),
        ({"password": "short", "password2": "short"}, "Use 12 to 128 characters."),
        (
            {"password": "robin@example.com", "password2": "robin@example.com"},
            "This password is easy to guess.",
        ),
        ({"confirmed": "1"}, "There is no such field."),
        ({"role": "Administrator"}, "There is no such field."),
    ],
)
async def test_a_mistake_is_named_and_what_was_typed_is_kept(
    client: Browser, change: dict[str, str], message: str
) -> None:
    form = FORM | change
    response = await client.post("/account/register", form=form)
    page = await response.get_data(as_text=True)
    assert response.status_code in (409, 422)
    assert message in page
    assert 'value="Example"' in page or change.get("last_name")
    assert (
        form["password"] not in page.replace("robin@example.com", "")
        or form["password"] == "robin@example.com"
    )
    assert 'type="password" value' not in page
    assert await users() == []
    if "password2" not in change:
        assert (await client.post("/api/v1/account", json=API | change)).status_code in (409, 422)
        assert await users() == []


async def test_registering_the_administrators_address_makes_no_administrator(
    client: Browser, settings: Config
) -> None:
    await client.post("/account/register", form={**FORM, "email": settings.ADMIN_EMAIL})
    path = link_in((await mails(client))[0])
    await client.post(path)
    await client.post("/account/login", form={"email": settings.ADMIN_EMAIL, "password": PASSWORD})
    assert (await client.get("/admin")).status_code == 403


async def test_who_has_not_confirmed_is_kept_until_they_do(client: Browser) -> None:
    person = await make_person(confirmed=False)
    await log_in(client, person)
    for path in ("/", "/docs", "/admin"):
        response = await client.get(path)
        assert (response.status_code, response.headers["Location"]) == (
            303,
            "/account/unconfirmed",
        ), path
    assert (await client.get("/account/unconfirmed")).status_code == 200
    assert (await client.get("/account/manage")).status_code == 200
    assert (await client.get("/static/app.css")).status_code == 200
    assert (await client.get("/livez")).status_code == 200
    assert (await client.get("/no-such-page")).status_code == 404
    assert (await client.get("/api/v1/account")).status_code == 200
    assert (await client.post("/account/confirm-account")).headers[
        "Location"
    ] == "/account/unconfirmed"
    [mail] = await mails(client)
    assert (await client.post(link_in(mail))).headers["Location"] == "/"
    assert (await client.get("/")).status_code == 200
    assert (await client.get("/account/unconfirmed")).headers["Location"] == "/"


async def test_sending_again_is_limited_and_says_so(client: Browser, settings: Config) -> None:
    settings.CONFIRMATION_LIMIT = "2/hour"
    await log_in(client, await make_person(confirmed=False))
    statuses = [(await client.post("/account/confirm-account")).status_code for _ in range(3)]
    assert statuses == [303, 303, 429]
    response = await client.post("/api/v1/account/confirmation/mail")
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    settings.CONFIRMATION_LIMIT = "10/hour"
    assert (await client.post("/api/v1/account/confirmation/mail")).status_code == 202


async def test_asking_again_by_get_sends_nothing(client: Browser) -> None:
    await log_in(client, await make_person(confirmed=False))
    assert (await client.get("/account/confirm-account")).headers[
        "Location"
    ] == "/account/unconfirmed"
    async with db.session() as session:
        assert await session.scalar(select(func.count(Job.id))) == 0


async def test_registrations_from_one_address_are_limited(
    client: Browser, settings: Config
) -> None:
    settings.REGISTRATION_LIMIT = "2/hour"
    for number, status in enumerate((303, 303, 429)):
        response = await client.post(
            "/account/register", form={**FORM, "email": f"robin{number}@example.com"}
        )
        assert response.status_code == status
    assert response.headers["Retry-After"]
    assert 'value="Robin"' in await response.get_data(as_text=True)


async def test_nobody_fills_somebodys_mailbox_through_us(
    client: Browser, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does anybody learn from it: what is limited is the mails, silently."""
    monkeypatch.setattr(settings, "ACCOUNT_MAIL_LIMIT", "2/hour")
    person = await make_person()
    for email in (person.email, "nobody@example.com"):
        for number in range(4):
            response = await client.post("/account/register", form={**FORM, "email": email.upper()})
            assert (response.status_code, response.headers["Location"]) == (303, "/account/login")
            found = [mail for mail in await mails(client) if mail["to"][0].lower() == email]
            assert len(found) == min(number + 1, 2)
    # What is in the mailbox works: nobody has lost anything by the silence.
    assert (await client.get(await link_to(client, "Set up your account"))).status_code == 200


async def test_mailed_links_start_with_base_url_whatever_the_request_says(client: Browser) -> None:
    forged = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
    }
    await client.post("/account/register", form=FORM, headers=forged)
    [mail] = await mails(client)
    assert "evil" not in mail["text"] + mail["html"]
    assert link_in(mail)


async def test_no_secret_is_in_a_job(client: Browser) -> None:
    await client.post("/account/register", form=FORM)
    await mails(client)
    async with db.session() as session:
        rows = (await session.execute(select(Job))).scalars().all()
    assert rows
    assert all(set(job.args) <= {"link_id", "mail_id"} for job in rows)


async def test_a_confirmed_account_is_mailed_no_link(client: Browser) -> None:
    person = await make_person(confirmed=False)
    await log_in(client, person)
    await client.post("/account/confirm-account")
    async with db.transaction() as session:
        await session.execute(update(User).values(confirmed=True))
    assert await mails(client) == []
