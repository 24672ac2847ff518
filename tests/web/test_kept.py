"""Forms posted after their session has ended: back after logging in, or said to be lost."""

from html import unescape
from typing import Any

import pytest
from pydantic import Field, SecretStr
from quart import Quart, ResponseReturnValue
from quart.sessions import SecureCookieSessionInterface
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import delete, update

from app.auth.models import Credential, User
from app.database import db
from app.validators import Shape
from app.web import kept
from app.web.access import confirmed, limit, reauthenticated
from app.web.forms import form
from tests.factories.people import PASSWORD, Person, log_in, make_person

NAME = {"first_name": "Álvaro 山田", "last_name": "<b>de la Cruz</b>"}
BACK = "What you typed is here again. It is not saved yet."


async def end_sessions() -> None:
    """End every session, as time would."""
    async with db.transaction() as session:
        await session.execute(delete(Credential))


async def text(client: Browser, path: str) -> str:
    """Return a page as people read it."""
    return unescape(await (await client.get(path)).get_data(as_text=True))


async def post(
    client: Browser, path: str, form: dict[str, str], by: Person | None = None, **more: Any
) -> str:
    """Post a form, which was shown to somebody, and return where the answer leads."""
    shown = {"shown_to": str(by.id)} if by else {}
    response = await client.post(path, form=form | shown, **more)
    assert response.status_code == 303
    return response.headers["Location"]


def flashed(app: Quart, client: Browser) -> Any:
    """Return what is in Quart's own session."""
    assert client.cookie_jar is not None
    flash_name = app.config["SESSION_COOKIE_NAME"]
    flash = next(str(each.value) for each in client.cookie_jar if each.name == flash_name)
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    return serializer.loads(flash)


async def name_of(person: Person) -> str:
    async with db.session() as session:
        return (await session.get_one(User, person.id)).first_name


async def test_what_was_typed_is_back_after_logging_in_again(client: Browser) -> None:
    kim = await make_person()
    await log_in(client, kim)
    await client.get("/account/manage")
    await end_sessions()
    target = await post(client, "/account/manage", NAME, by=kim)
    assert target == "/account/login?next=/account/manage"
    assert "Your session has ended, so this was not done." in (page := await text(client, target))
    assert "what you typed will be here again" in page
    assert NAME["first_name"] not in page, "somebody else may be at the log-in page"
    credentials = {"email": kim.email, "password": PASSWORD}
    assert await post(client, target, credentials) == "/account/manage"
    page = await text(client, "/account/manage")
    assert BACK in page
    assert f'value="{NAME["first_name"]}"' in page
    assert f'value="{NAME["last_name"]}"' in page
    assert await name_of(kim) == "Robin"
    page = await text(client, "/account/manage")
    assert BACK not in page
    assert NAME["first_name"] not in page
    await post(client, "/account/manage", NAME, by=kim)
    assert await name_of(kim) == NAME["first_name"]


async def test_nobody_else_sees_what_was_typed(client: Browser) -> None:
    kim, bob = await make_person(), await make_person()
    await log_in(client, kim)
    await client.get("/account/manage")
    await end_sessions()
    await post(client, "/account/manage", NAME, by=kim)
    await log_in(client, bob)
    for _ in range(2):
        page = await text(client, "/account/manage")
        assert BACK not in page
        assert NAME["first_name"] not in page
    await log_in(client, kim)
    assert NAME["first_name"] not in await text(client, "/account/manage")


async def test_passwords_are_never_kept(app: Quart, client: Browser) -> None:
    kim = await make_person()
    await log_in(client, kim)
    await client.get("/account/manage/change-email")
    await end_sessions()
    await post(
        client,
        "/account/manage/change-email",
        {"email": "new@example.com", "password": "my old secret", "password2": "another"},
        by=kim,
    )
    content = flashed(app, client)
    assert content["typed"]["fields"] == {"email": "new@example.com"}
    assert "secret" not in str(content)
    await log_in(client, kim)
    assert 'value="new@example.com"' in await text(client, "/account/manage/change-email")


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("/account/manage", {"first_name": "x" * kept.MAX_SIZE, "last_name": "y"}),
        ("/account/manage/change-password", {"old_password": PASSWORD, "new_password": PASSWORD}),
        ("/account/sessions/end-others", {}),
        ("/account/manage", {"first_name": "x" * 2_000_000}),
        ("/account/manage", {"first_name": "x\x00"}),
    ],
)
async def test_what_cannot_be_kept_is_said_to_be_lost(
    client: Browser, path: str, typed: dict[str, str]
) -> None:
    await log_in(client, await make_person())
    await client.get("/account/manage")
    await end_sessions()
    target = await post(client, path, typed, headers={"Referer": "http://localhost/account/x?a=1"})
    assert "so this was not done. Log in, then do it again: what you typed is lost." in (
        await text(client, target)
    )
    came_from = "/account/x?a%3D1" if path.endswith("others") else path
    assert target == f"/account/login?next={came_from}"


async def test_a_form_of_another_site_is_no_page_to_come_back_to(client: Browser) -> None:
    for referer in (
        "http://evil.example/account/x",
        "nonsense",
        "http://localhost.evil.example/",
        "https://[",
    ):
        target = await post(
            client, "/account/sessions/end-others", {}, headers={"Referer": referer}
        )
        assert target == "/account/login"
        assert "You are not logged in, so this was not done." in await text(client, target)


async def test_logging_out_forgets_what_was_typed(client: Browser) -> None:
    kim, bob = await make_person(), await make_person()
    await log_in(client, kim)
    await end_sessions()
    await post(client, "/account/manage", NAME, by=kim)
    await log_in(client, bob)
    await client.post("/account/logout")
    await log_in(client, kim)
    assert NAME["first_name"] not in await text(client, "/account/manage")


async def test_a_form_that_was_shown_to_nobody_known_is_said_to_be_lost(client: Browser) -> None:
    assert "is lost" in await text(client, await post(client, "/account/manage", NAME))


async def test_a_form_that_was_shown_to_somebody_else_does_nothing(client: Browser) -> None:
    kim, bob = await make_person(), await make_person()
    await log_in(client, kim)
    assert f'name="shown_to" value="{kim.id}"' in await text(client, "/account/manage")
    await log_in(client, bob)  # in another tab
    response = await client.post("/account/manage", form=NAME | {"shown_to": str(kim.id)})
    page = unescape(await response.get_data(as_text=True))
    assert response.status_code == 409
    assert f"You are now logged in as {bob.email}, so this was not done." in page
    assert "Open the page again" in page
    assert NAME["first_name"] not in page
    assert await name_of(bob) == await name_of(kim) == "Robin"
    assert await post(client, "/account/manage", NAME, by=bob) == "/account/manage"
    assert await name_of(bob) == NAME["first_name"]


async def test_logging_out_when_one_is_out_already_needs_no_log_in(client: Browser) -> None:
    assert await post(client, "/account/logout", {}) == "/account/login"
    assert "You are logged out." in await text(client, "/account/login")


async def test_what_the_unconfirmed_post_is_said_not_to_be_done(own_app: Quart) -> None:
    async def trial() -> str:
        return "done"

    view = confirmed(limit("PAGE_LIMIT")(trial))
    own_app.add_url_rule("/test-trial", "test_trial", view, methods=["GET", "POST"])
    client = own_app.test_client()
    await log_in(client, await make_person(confirmed=False))
    assert (await client.get("/test-trial")).headers["Location"] == "/account/unconfirmed"
    target = await post(client, "/test-trial", {"what": "A violet kettle"})
    words = "Your email address is not confirmed yet, so this was not done. Confirm it, then do it"
    assert words in await text(client, target)


async def test_it_is_kept_for_an_hour(client: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    kim = await make_person()
    await log_in(client, kim)
    await client.get("/account/manage")
    await end_sessions()
    monkeypatch.setattr(kept, "SECONDS", -1)
    await post(client, "/account/manage", NAME, by=kim)
    await log_in(client, kim)
    assert NAME["first_name"] not in await text(client, "/account/manage")


async def test_the_api_answers_401_as_ever(client: Browser) -> None:
    response = await client.patch("/api/v1/account", json=NAME)
    assert response.status_code == 401
    assert "Set-Cookie" not in response.headers


class Order(Shape):
    """A form of a feature."""

    what: str
    gift: bool = True
    pin: SecretStr = SecretStr("")
    code: str = Field("", json_schema_extra={"autocomplete": "one-time-code"})


async def test_re_authentication_brings_back_what_was_typed_too(own_app: Quart) -> None:
    saved: list[Order] = []

    @limit("PAGE_LIMIT")
    @form("accounts/change_email.html", Order)
    async def order(data: Order) -> ResponseReturnValue:
        saved.append(data)
        return "saved"

    own_app.add_url_rule(
        "/test-recent", "test_recent", reauthenticated(order), methods=["GET", "POST"]
    )
    codes = {"pin": "271828", "code": "314159"}
    client = own_app.test_client()
    await log_in(client, await make_person())
    await client.get("/test-recent")
    async with db.transaction() as session:
        await session.execute(update(Credential).values(authenticated_at=None))
    target = await post(client, "/test-recent?a=1", {"what": "A violet kettle"} | codes)
    assert target == "/account/reauthenticate?next=/test-recent?a%3D1"
    assert [code for code in codes.values() if code in str(flashed(own_app, client))] == []
    page = await text(client, target)
    assert "This needs your password, so this was not done. Enter it, and what you typed" in page
    assert await post(client, target, {"password": PASSWORD}) == "/test-recent?a=1"
    page = await text(client, "/test-recent?a=1")
    assert BACK in page
    assert 'value="A violet kettle"' in page
    assert " checked" not in page
    assert [code for code in codes.values() if code in page] == []
    assert saved == []
