"""Forms of an older tab: what a signed-in user posts is carried out, or refused in words."""

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import func, select

from app.auth.models import Credential, Purpose, User
from app.database import db
from app.jobs.models import Job
from app.web.access import anonymous_only, limit
from tests.factories.people import PASSWORD, Person, log_in, make_person, secret_of

REGISTRATION = {
    "first_name": "Bob",
    "last_name": "Example",
    "email": "new@example.com",
    "password": PASSWORD,
    "password2": PASSWORD,
}


async def who_is_in(client: Browser) -> str:
    """Return the email address of whoever this browser is logged in as."""
    return str((await (await client.get("/api/v1/account")).get_json()).get("email"))


async def text(client: Browser, path: str) -> str:
    """Return a page."""
    return str(await (await client.get(path)).get_data(as_text=True))


async def post_log_in(client: Browser, person: Person, password: str = PASSWORD) -> int:
    form = {"email": person.email, "password": password}
    return (await client.post("/account/login", form=form)).status_code


async def test_logging_in_as_somebody_else_changes_who_is_in_and_says_so(
    app: Quart, client: Browser
) -> None:
    kim, bob = await make_person(), await make_person()
    await log_in(client, kim)
    old = secret_of(client)
    assert await post_log_in(client, bob) == 303
    assert await who_is_in(client) == bob.email
    page = await text(client, "/")
    assert f"You are now logged in as {bob.email}. {kim.email} has been logged out." in page
    replay = app.test_client()
    replay.set_cookie("localhost", "session_testing", old)
    assert await who_is_in(replay) == "None"


async def test_a_wrong_password_changes_nothing(client: Browser) -> None:
    kim, bob = await make_person(), await make_person()
    await log_in(client, kim)
    assert await post_log_in(client, bob, "not it, surely") == 401
    assert await who_is_in(client) == kim.email


async def test_logging_in_twice_renews_the_session_without_a_word(client: Browser) -> None:
    kim = await make_person()
    await log_in(client, kim)
    assert await post_log_in(client, kim) == 303
    assert "logged out" not in await text(client, "/")
    async with db.session() as session:
        sessions = select(func.count(Credential.id)).where(Credential.purpose == Purpose.SESSION)
        assert await session.scalar(sessions) == 1


async def test_the_log_in_page_sends_whoever_is_in_where_they_wanted_to_go(
    app: Quart, client: Browser
) -> None:
    home = "/" if "home" in app.extensions else "/account/manage"
    await log_in(client, await make_person())
    for target, path in (
        ("/account/login?next=/account/sessions", "/account/sessions"),
        ("/account/login?next=//evil.example", home),
        ("/account/register", home),
    ):
        response = await client.get(target)
        assert (response.status_code, response.headers["Location"]) == (303, path)


@pytest.mark.parametrize(
    ("path", "form"),
    [("/account/register", REGISTRATION), ("/account/reset-password", {"email": "x@example.com"})],
)
async def test_other_forms_say_that_nothing_was_done_and_log_out(
    client: Browser, path: str, form: dict[str, str]
) -> None:
    kim = await make_person()
    await log_in(client, kim)
    response = await client.post(path, form=form)
    page = await response.get_data(as_text=True)
    assert response.status_code == 403
    assert f"You are logged in as {kim.email}, so this was not done." in page
    assert f'action="/account/logout?next={path}"' in page
    assert await who_is_in(client) == kim.email
    async with db.session() as session:
        assert await session.scalar(select(func.count(User.id))) == 1
        assert await session.scalar(select(func.count(Job.id))) == 0
    response = await client.post(f"/account/logout?next={path}")
    assert response.headers["Location"] == path
    assert "You are logged out." in await text(client, path)


async def test_the_api_does_what_it_is_asked(client: Browser) -> None:
    """A log-in there replaces the session, and a registration concerns somebody else."""
    kim, bob = await make_person(), await make_person()
    await log_in(client, kim)
    person = {name: value for name, value in REGISTRATION.items() if name != "password2"}
    assert (await client.post("/api/v1/account", json=person)).status_code == 202
    assert await who_is_in(client) == kim.email
    credentials = {"email": bob.email, "password": PASSWORD}
    assert (await client.post("/api/v1/session", json=credentials)).status_code == 201
    assert await who_is_in(client) == bob.email


async def test_a_features_own_route_refuses_in_the_same_words(own_app: Quart) -> None:
    async def trial() -> str:
        return "done"

    own_app.add_url_rule(
        "/test-trial",
        "test_trial",
        anonymous_only(limit("PAGE_LIMIT")(trial)),
        methods=["GET", "POST"],
    )
    client = own_app.test_client()
    assert (await client.post("/test-trial")).status_code == 200
    await log_in(client, await make_person())
    assert (await client.post("/test-trial")).status_code == 403
    assert (await client.get("/test-trial")).status_code == 303
