"""Logging in and out on the pages."""

from datetime import timedelta

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import func, select, update

from app.auth.models import Credential, Purpose
from app.database import db, utcnow
from app.web.destinations import safe_target
from tests.factories.people import PASSWORD, log_in, make_person, secret_of


async def test_after_logging_in_one_is_home_and_known(client: Browser) -> None:
    person = await make_person()
    response = await client.post(
        "/account/login", form={"email": person.email, "password": PASSWORD}
    )
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert person.email in await (await client.get("/account/manage")).get_data(as_text=True)


async def test_a_page_that_needs_somebody_comes_back_after_log_in(client: Browser) -> None:
    response = await client.get("/account/manage/info?tab=1")
    assert response.status_code == 303
    target = response.headers["Location"]
    assert target == "/account/login?next=/account/manage/info?tab%3D1"
    person = await make_person()
    response = await client.post(target, form={"email": person.email, "password": PASSWORD})
    assert response.headers["Location"] == "/account/manage/info?tab=1"


async def test_a_wrong_password_says_so_keeps_the_address_and_echoes_no_password(
    client: Browser,
) -> None:
    person = await make_person()
    response = await client.post(
        "/account/login", form={"email": person.email, "password": "not it, surely"}
    )
    page = await response.get_data(as_text=True)
    assert response.status_code == 401
    assert "The email address or the password is wrong." in page
    assert f'value="{person.email}"' in page
    assert "not it, surely" not in page


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"email": "nonsense", "password": "x"}, "Enter an email address, like name@example.com."),
        ({"email": "", "password": "x"}, "Enter an email address, like name@example.com."),
        ({"email": "a@example.com"}, "This field is required."),
        ({"email": "a@example.com", "password": "x" * 129}, "Use at most 128 characters."),
        ({"email": "a@example.com", "password": "x", "confirmed": "1"}, "There is no such field."),
    ],
)
async def test_a_mistake_is_named_beside_its_field(
    client: Browser, form: dict[str, str], message: str
) -> None:
    response = await client.post("/account/login", form=form)
    assert response.status_code == 422
    assert message in await response.get_data(as_text=True)


async def test_who_is_signed_in_needs_no_log_in_page(client: Browser) -> None:
    await log_in(client, await make_person())
    response = await client.get("/account/login")
    assert (response.status_code, response.headers["Location"]) == (303, "/")


async def test_logging_out_ends_the_session_and_says_so(app: Quart, client: Browser) -> None:
    await log_in(client, await make_person())
    stolen = secret_of(client)
    assert (await client.post("/account/logout")).status_code == 303
    assert "You are logged out." in await (await client.get("/")).get_data(as_text=True)
    replay = app.test_client()
    replay.set_cookie("localhost", "session_testing", str(stolen))
    assert (await replay.get("/account/manage")).status_code == 303


async def test_a_new_log_in_by_page_ends_the_session_that_the_browser_had(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    await log_in(client, person)
    old = secret_of(client)
    async with db.transaction() as session:
        # The browser still has its cookie, but is not signed in any more: as after a while without
        # a request.
        await session.execute(update(Credential).values(expires_at=utcnow()))
    await log_in(client, person)
    async with db.session() as session:
        sessions = select(func.count(Credential.id)).where(Credential.purpose == Purpose.SESSION)
        assert await session.scalar(sessions) == 1
    assert secret_of(client) != old


async def test_a_remembered_cookie_lives_on_from_the_last_visit(client: Browser) -> None:
    person = await make_person()
    await client.post(
        "/account/login", form={"email": person.email, "password": PASSWORD, "remember_me": "on"}
    )
    async with db.transaction() as session:
        await session.execute(
            update(Credential).values(last_used_at=utcnow() - timedelta(minutes=6))
        )
    response = await client.get("/")
    assert any("Max-Age=1209600" in cookie for cookie in response.headers.getlist("Set-Cookie"))
    assert not (await client.get("/")).headers.getlist("Set-Cookie")


async def test_the_flash_cookie_is_as_guarded_as_the_sessions(client: Browser) -> None:
    await log_in(client, await make_person())
    response = await client.post("/account/logout")
    cookies = {cookie.split("=")[0]: cookie for cookie in response.headers.getlist("Set-Cookie")}
    for name in ("flash_testing", "session_testing"):
        assert "HttpOnly" in cookies[name]
        assert "SameSite=Lax" in cookies[name]
        assert "Path=/" in cookies[name]


async def test_logging_out_takes_a_post(client: Browser) -> None:
    await log_in(client, await make_person())
    assert (await client.get("/account/logout")).status_code == 405
    assert (await client.get("/account/manage")).status_code == 200


@pytest.mark.parametrize(("remember", "max_age"), [(None, None), ("on", "1209600")])
async def test_the_cookie_lasts_only_if_one_asks_for_it(
    client: Browser, remember: str | None, max_age: str | None
) -> None:
    person = await make_person()
    form = {"email": person.email, "password": PASSWORD} | (
        {"remember_me": remember} if remember else {}
    )
    response = await client.post("/account/login", form=form)
    cookies = response.headers.getlist("Set-Cookie")
    cookie = next(c for c in cookies if c.startswith("session_testing="))
    attributes = dict(part.strip().partition("=")[::2] for part in cookie.split(";")[1:])
    assert attributes.get("Max-Age") == max_age
    assert "HttpOnly" in attributes
    assert (attributes["SameSite"], attributes["Path"]) == ("Lax", "/")


async def test_too_many_failures_are_a_429_page_that_says_when_to_try_again(
    client: Browser,
) -> None:
    person = await make_person()
    for _ in range(5):
        await client.post("/account/login", form={"email": person.email, "password": "wrong"})
    response = await client.post(
        "/account/login", form={"email": person.email, "password": PASSWORD}
    )
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert "Try again in" in await response.get_data(as_text=True)


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "/\\/evil.example",
        "\\\\evil.example",
        "///evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "/\tevil",
        "/\n/evil.example",
        " //evil.example",
        "/ /evil.example",
        "evil.example",
        "",
        None,
        "http://[",
        "//[",
    ],
)
async def test_log_in_leads_to_no_other_site(app: Quart, target: str | None) -> None:
    async with app.test_request_context("/"):
        assert safe_target(target) == "/"


async def test_an_encoded_foreign_target_leads_home(client: Browser) -> None:
    person = await make_person()
    form = {"email": person.email, "password": PASSWORD}
    for encoded in (
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%09//evil.example",
        "https%3A%2F%2Fevil.example",
    ):
        response = await client.post(f"/account/login?next={encoded}", form=form)
        assert response.headers["Location"] == "/"
        await client.post("/account/logout")


async def test_the_path_itself_redirects_nowhere(client: Browser) -> None:
    for path in ("//evil.example", "//evil.example/..", "/account//login", "/account/login/"):
        response = await client.get(path)
        assert response.status_code in (200, 404)
