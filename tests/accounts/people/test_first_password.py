"""A password that an administrator chose: its owner changes it before anything else."""

from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.accounts import service
from app.web.access import declared
from tests.accounts.people.administering import (
    administrator,
    carry_out,
    end_everything,
    there,
    told,
    valid,
)
from tests.accounts.people.test_one_person import id_of
from tests.factories.people import Person, log_in, make_person
from tests.mail.captured import link_to
from tests.web.callers import routes

GIVEN, OWN = "four brown kettles whistle", "nine green lanterns hum"
EMAIL = "kim@example.com"
PERSON = {"first_name": "Kim", "last_name": "Example", "email": EMAIL}


async def new_person(app: Quart) -> tuple[Browser, Person]:
    """Return somebody new, logged in with the password that an administrator chose."""
    browser, _ = await administrator(app)
    answer = await browser.post("/api/v1/users", json={**PERSON, "password": GIVEN})
    made = await answer.get_json()
    assert (answer.status_code, made["must_change_password"]) == (201, True)
    theirs, person = app.test_client(), Person(made["id"], EMAIL, "Kim", GIVEN)
    await log_in(theirs, person)
    return theirs, person


FREE = {
    ("GET", "/api/v1/account"),
    ("POST", "/api/v1/account/password"),
    ("DELETE", "/api/v1/session"),
    ("GET", "/account/manage/change-password"),
    ("POST", "/account/manage/change-password"),
    ("POST", "/account/logout"),
}


async def test_nothing_that_needs_an_account_works_before(app: Quart) -> None:
    theirs, person = await new_person(app)
    tried = 0
    for method, path, rule in routes(app):
        access, _ = declared(app.view_functions[rule.endpoint])
        if not (access and access.signed_in) or (method, path) in FREE or method == "HEAD":
            continue
        answer = await theirs.open(path, method=method, json=None)
        tried += 1
        if path.startswith("/api/"):
            assert answer.status_code == 403, (method, path)
            assert (await answer.get_json())["code"] == "password-change-required"
        elif method == "GET":
            assert answer.status_code == 303, path
            assert answer.headers["Location"] == "/account/manage/change-password"
        else:
            assert answer.status_code == 403, path
    assert tried > 30
    assert (await theirs.get("/api/v1/account")).status_code == 200
    assert (await theirs.get("/")).status_code == 200
    assert (await there(person.id)).must_change_password


async def test_who_logs_in_is_led_to_the_page_that_changes_it(app: Quart) -> None:
    _, person = await new_person(app)
    browser = app.test_client()
    form = {"email": person.email, "password": person.password}
    answer = await browser.post("/account/login", form=form)
    assert answer.headers["Location"] == "/account/manage/change-password"
    page = await browser.get("/account/manage/change-password")
    assert "An administrator chose your password." in await page.get_data(as_text=True)


async def test_afterwards_all_is_free_and_what_began_before_has_ended(app: Quart) -> None:
    theirs, person = await new_person(app)
    other = app.test_client()
    await log_in(other, person)
    form = {"old_password": GIVEN, "new_password": OWN, "new_password2": OWN}
    answer = await theirs.post("/account/manage/change-password", form=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/manage")
    assert (await theirs.get("/account/manage")).status_code == 200
    assert (await theirs.get("/api/v1/account/sessions")).status_code == 200
    assert (await other.get("/api/v1/account")).status_code == 401
    assert not (await there(person.id)).must_change_password


async def test_it_is_changed_by_the_api_too(app: Quart) -> None:
    theirs, _ = await new_person(app)
    body = {"old_password": GIVEN, "new_password": OWN}
    answer = await theirs.post("/api/v1/account/password", json=body)
    token = (await answer.get_json())["token"]
    headers = {"Authorization": f"Bearer {token}"}
    sessions = await app.test_client().get("/api/v1/account/sessions", headers=headers)
    assert sessions.status_code == 200


async def test_the_password_that_has_to_be_changed_is_not_chosen_again(app: Quart) -> None:
    theirs, person = await new_person(app)
    body = {"old_password": GIVEN, "new_password": GIVEN}
    answer = await theirs.post("/api/v1/account/password", json=body)
    problem = await answer.get_json()
    assert (answer.status_code, problem["code"]) == (422, "weak-password")
    assert "An administrator chose this password." in problem["detail"]
    page = await theirs.post(
        "/account/manage/change-password", form={**body, "new_password2": GIVEN}
    )
    assert "An administrator chose this password." in await page.get_data(as_text=True)
    assert (await there(person.id)).must_change_password
    assert "session" in await valid(person.id)


async def test_a_reset_by_mail_is_a_change_but_not_to_the_same_password(app: Quart) -> None:
    theirs, person = await new_person(app)
    await theirs.post("/api/v1/account/password/reset/mail", json={"email": EMAIL})
    link = await link_to(theirs, "Reset your password", EMAIL)
    same = {"new_password": GIVEN, "new_password2": GIVEN}
    refused = await app.test_client().post(link, form=same)
    assert "An administrator chose this password." in await refused.get_data(as_text=True)
    form = {"new_password": OWN, "new_password2": OWN}
    assert (await app.test_client().post(link, form=form)).status_code == 303
    assert not (await there(person.id)).must_change_password
    assert await valid(person.id) <= {"device"}


async def test_who_chose_a_password_may_choose_it_again(app: Quart) -> None:
    person, theirs = await make_person(), app.test_client()
    await log_in(theirs, person)
    body = {"old_password": person.password, "new_password": person.password}
    assert (await theirs.post("/api/v1/account/password", json=body)).status_code == 200


async def test_a_weak_password_is_refused_in_words(app: Quart) -> None:
    browser, _ = await administrator(app)
    for weak in ("short", "kim@example.com", "Kim Example"):
        form = {**PERSON, "password": weak}
        answer = await browser.post("/api/v1/users", json=form)
        assert (answer.status_code, (await answer.get_json())["code"]) == (422, "weak-password")
        page = await browser.post("/admin/new-user", form={**form, "role": "User"})
        assert page.status_code == 422
        text = await page.get_data(as_text=True)
        assert "password" in text
        assert f'value="{weak}"' not in text.replace('value="kim@example.com"', "", 1)
    assert await told(browser) == []


async def test_the_new_person_is_told_but_not_the_password(app: Quart) -> None:
    browser, _ = await administrator(app)
    form = {**PERSON, "role": "Administrator", "password": GIVEN}
    page = await browser.post("/admin/new-user", form=form)
    assert page.status_code == 303
    user = await there(await id_of(EMAIL))
    assert page.headers["Location"] == f"/admin/user/{user.id}"
    assert (user.role.name, user.state) == ("Administrator", "active")
    assert await told(browser) == [(EMAIL, "You have an account")]


async def test_a_new_account_takes_the_place_of_what_anybody_may_have_registered(
    app: Quart,
) -> None:
    browser, _ = await administrator(app)
    stranger = await make_person(email=EMAIL, confirmed=False)
    answer = await browser.post("/api/v1/users", json={**PERSON, "password": GIVEN})
    assert answer.status_code == 201
    assert (await answer.get_json())["id"] != stranger.id
    again = await browser.post("/api/v1/users", json={**PERSON, "password": GIVEN})
    assert (again.status_code, (await again.get_json())["code"]) == (409, "email-taken")


async def test_the_command_that_makes_an_administrator_sets_a_password_of_ones_own(
    app: Quart,
) -> None:
    _, person = await new_person(app)
    await end_everything(person.id)
    await carry_out(service.make_administrator, EMAIL, "not a hash")
    assert not (await there(person.id)).must_change_password
