"""What an administrator does to one account, by page and by API."""

from typing import Any

import pytest
from quart import Quart
from sqlalchemy import select

from app.accounts import roles, service
from app.auth.models import Credential
from app.database import db
from tests.accounts.people.administering import (
    DEVICE,
    PAGE_AND_API,
    administrator,
    do,
    found,
    there,
    told,
    valid,
)
from tests.factories.people import Person, invite, log_in, make_person
from tests.mail.captured import link_to

BOTH = pytest.mark.parametrize("by_page", [True, False], ids=["page", "api"])
DONE = (204, 303)
NEW = "nine green lanterns hum"


async def id_of(email: str) -> int:
    async with db.session() as session:
        user = await service.find_user(session, email)
    assert user
    return user.id


async def invited(email: str = "guest@example.com") -> int:
    await invite(email)
    return await id_of(email)


async def can_log_in(app: Quart, person: Person) -> bool:
    form = {"email": person.email, "password": person.password}
    answer = await app.test_client().post("/api/v1/session", json=form)
    return answer.status_code == 201


@BOTH
async def test_a_disabled_account_is_shut_and_what_ended_stays_ended(
    app: Quart, by_page: bool
) -> None:
    browser, _ = await administrator(app)
    person, theirs = await make_person(), app.test_client()
    await log_in(theirs, person)
    status, _ = await do(browser, "disable", person.id, by_page=by_page)
    assert status in DONE
    assert (await theirs.get("/api/v1/account")).status_code == 401
    assert not await can_log_in(app, person)
    assert (await there(person.id)).state == "disabled"
    status, _ = await do(browser, "enable", person.id, by_page=by_page)
    assert status in DONE
    assert await valid(person.id) == set()
    assert (await theirs.get("/api/v1/account")).status_code == 401
    assert await can_log_in(app, person)
    assert await told(browser) == [
        (person.email, "Your account has been disabled"),
        (person.email, "Your account is enabled again"),
    ]


@BOTH
async def test_an_address_is_confirmed_by_hand(app: Quart, by_page: bool) -> None:
    browser, _ = await administrator(app)
    person = await make_person(confirmed=False)
    status, _ = await do(browser, "confirm", person.id, by_page=by_page)
    assert status in DONE
    assert (await there(person.id)).state == "active"
    status, text = await do(browser, "confirm", person.id, by_page=by_page)
    assert status == 409
    assert "waiting for its confirmation" in text


@BOTH
async def test_a_link_that_sets_a_new_password_is_mailed(app: Quart, by_page: bool) -> None:
    browser, _ = await administrator(app)
    person = await make_person()
    status, _ = await do(browser, "reset", person.id, by_page=by_page)
    assert status in DONE
    link = await link_to(browser, "Reset your password", person.email)
    form = {"new_password": NEW, "new_password2": NEW}
    assert (await app.test_client().post(link, form=form)).status_code == 303
    assert await can_log_in(app, Person(person.id, person.email, "Robin", NEW))


async def test_who_has_proved_no_address_gets_a_link_that_works_as_well(app: Quart) -> None:
    browser, _ = await administrator(app)
    person = await make_person(confirmed=False)
    await do(browser, "reset", person.id, by_page=False)
    link = await link_to(browser, "Set up your account", person.email)
    form = {"first_name": "Olive", "last_name": "Owner", "password": NEW, "password2": NEW}
    assert (await app.test_client().post(link, form=form)).status_code == 303
    assert await can_log_in(app, Person(person.id, person.email, "Olive", NEW))


@BOTH
async def test_an_invitation_is_mailed_again_or_cancelled(app: Quart, by_page: bool) -> None:
    browser, _ = await administrator(app)
    user_id = await invited()
    status, _ = await do(browser, "invite again", user_id, by_page=by_page)
    assert status in DONE
    assert [to for to, _ in await told(browser)] == ["guest@example.com"] * 2
    link = await link_to(browser, "You are invited", "guest@example.com")
    status, _ = await do(browser, "cancel", user_id, by_page=by_page)
    assert status in DONE
    assert await found(user_id) is None
    assert (await app.test_client().get(link)).status_code == 410
    assert (await do(browser, "cancel", user_id, by_page=by_page))[0] == 404


@BOTH
async def test_one_session_ends_or_all_of_them(app: Quart, by_page: bool) -> None:
    browser, me = await administrator(app)
    person, theirs = await make_person(), [app.test_client() for _ in range(3)]
    for each in theirs:
        await log_in(each, person)
    listed = await (await browser.get(f"/api/v1/users/{person.id}/sessions")).get_json()
    assert len(listed["items"]) == 3
    first = listed["items"][0]["id"]
    path = f"/api/v1/users/{person.id}/sessions/{first}"
    page = f"/admin/user/{person.id}/sessions/{first}/end"
    wrong = path.replace(str(person.id), str(me.id))
    assert (await browser.delete(wrong)).status_code == 404, "of somebody else"
    for expected in (DONE, (404,)):
        answer = await (browser.post(page) if by_page else browser.delete(path))
        assert answer.status_code in expected
    answers = [(await each.get("/api/v1/account")).status_code for each in theirs]
    assert sorted(answers) == [200, 200, 401]
    assert (await do(browser, "end sessions", person.id, by_page=by_page))[0] in DONE
    assert {(await each.get("/api/v1/account")).status_code for each in theirs} == {401}
    assert DEVICE not in await valid(person.id), "no device is known any more"
    assert (await browser.get("/api/v1/account")).status_code == 200


@BOTH
async def test_with_an_account_goes_all_that_belongs_to_it(app: Quart, by_page: bool) -> None:
    browser, _ = await administrator(app)
    person, theirs = await make_person(), app.test_client()
    await log_in(theirs, person)
    if by_page:
        page = await (await browser.get(f"/admin/user/{person.id}/delete")).get_data(as_text=True)
        assert person.email in page
    assert (await do(browser, "delete", person.id, by_page=by_page))[0] in DONE
    assert await found(person.id) is None
    async with db.session() as session:
        query = select(Credential).where(Credential.user_id == person.id)
        assert (await session.execute(query)).first() is None
    assert (await theirs.get("/api/v1/account")).status_code == 401
    assert await told(browser) == [(person.email, "Your account has been deleted")]


@BOTH
@pytest.mark.parametrize("act", ["disable", "end sessions", "delete"])
async def test_nobody_locks_themselves_out(app: Quart, by_page: bool, act: str) -> None:
    browser, me = await administrator(app)
    await make_person(role=roles.ADMINISTRATOR)
    status, text = await do(browser, act, me.id, by_page=by_page)
    assert status == 409
    assert "your own" in text
    assert (await browser.get("/api/v1/users")).status_code == 200


@pytest.mark.parametrize("change", [{"role": "User"}, {"email": "mistyped@example.com"}])
async def test_nobody_takes_their_own_role_or_address_away(
    app: Quart, change: dict[str, str]
) -> None:
    browser, me = await administrator(app)
    await make_person(role=roles.ADMINISTRATOR)
    answer = await browser.patch(f"/api/v1/users/{me.id}", json=change)
    assert (answer.status_code, (await answer.get_json())["code"]) == (409, "not-yourself")
    page = "change-account-type" if "role" in change else "change-email"
    posted = await browser.post(f"/admin/user/{me.id}/{page}", form=change)
    assert posted.status_code == 409
    assert "This is your own account." in await posted.get_data(as_text=True)
    user = await there(me.id)
    assert (user.email, user.role.name) == (me.email, "Administrator")


# act → the states of an account in which it is refused
REFUSED = {
    "disable": {"disabled"},
    "enable": {"active", "unconfirmed", "invited"},
    "confirm": {"active", "invited", "disabled"},
    "reset": {"invited", "disabled"},
    "invite again": {"active", "unconfirmed", "disabled"},
    "cancel": {"active", "unconfirmed", "disabled"},
    "end sessions": set(),
    "delete": set(),
}


async def in_state(state: str) -> int:
    if state == "invited":
        return await invited()
    person = await make_person(confirmed=state != "unconfirmed")
    if state == "disabled":
        async with db.transaction() as session:
            await service.disable_user(session, person.id)
    return person.id


@BOTH
@pytest.mark.parametrize("state", ["active", "unconfirmed", "invited", "disabled"])
async def test_what_a_state_does_not_allow_is_refused_in_words_and_changes_nothing(
    app: Quart, by_page: bool, state: str
) -> None:
    browser, _ = await administrator(app)
    user_id = await in_state(state)
    for act in PAGE_AND_API:
        if state not in REFUSED[act]:
            continue
        before = (await there(user_id)).state
        status, text = await do(browser, act, user_id, by_page=by_page)
        assert status == 409, act
        assert any(word in text for word in ("account", "address", "person")), act
        assert (await there(user_id)).state == before
    for act in PAGE_AND_API:
        if state not in REFUSED[act]:
            other = await in_state(state) if state != "invited" else await another_guest(act)
            assert (await do(browser, act, other, by_page=by_page))[0] in DONE, act


async def another_guest(act: str) -> int:
    return await invited(f"{act.replace(' ', '-')}@example.com")


# The edges of the databases' integers, and what is beyond them.
EDGES = (2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**30)
UNKNOWN = ["999999", "0", "-1", *map(str, EDGES), "9" * 4500]


@pytest.mark.parametrize("number", UNKNOWN, ids=lambda number: f"{number[:5]}x{len(number)}")
async def test_nobody_has_such_an_id(app: Quart, number: str) -> None:
    browser, _ = await administrator(app)
    paths = []
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(("/admin/", "/api/v1/")) and "<int:" in rule.rule:
            path = rule.rule.replace("<int:user_id>", number).replace("<int:role_id>", number)
            act = path.replace(
                "<any('disable', 'end-sessions', 'cancel-invitation', 'delete'):", ""
            )
            path = act.replace("<uuid:session_id>", "00000000-0000-4000-8000-000000000000")
            if "<" not in path:
                paths += [(method, path) for method in (rule.methods or set()) - {"OPTIONS"}]
    for act in ("disable", "end-sessions", "cancel-invitation", "delete", "enable", "confirm"):
        paths.append(("POST", f"/admin/user/{number}/{act}"))
    assert len(paths) > 30
    bodies = {
        "PUT": {"name": "X", "index": "main"},
        "PATCH": {"first_name": "X"},
    }
    form = {"first_name": "X", "last_name": "Y", "email": "x@example.com", "role": "User"}
    for method, path in paths:
        kind: dict[str, Any] = {"json": None}
        if method in bodies:
            kind = {"json": bodies[method]}
        elif method == "POST" and path.startswith("/admin/"):
            name = path.rpartition("/")[2]
            wanted = {
                "change-name": ("first_name", "last_name"),
                "change-email": ("email",),
                "change-account-type": ("role",),
            }.get(name, ())
            kind = {"form": {field: form[field] for field in wanted}}
            if "/roles/" in path and name != "delete":
                kind = {"form": {"name": "X", "index": "main"}}
        answer = await browser.open(path, method=method, **kind)
        assert answer.status_code == 404, (method, path)


async def test_what_is_sent_of_a_name_is_changed_and_nothing_else(app: Quart) -> None:
    browser, _ = await administrator(app)
    person = await make_person()
    answer = await browser.patch(f"/api/v1/users/{person.id}", json={"last_name": "Changed"})
    assert (await answer.get_json())["last_name"] == "Changed"
    user = await there(person.id)
    assert (user.first_name, user.last_name, user.email) == ("Robin", "Changed", person.email)
    form = {"first_name": "Kim", "last_name": "Example"}
    posted = await browser.post(f"/admin/user/{person.id}/change-name", form=form)
    assert posted.status_code == 303
    assert (await there(person.id)).full_name == "Kim Example"
    assert (await there(person.id)).name_key == "example kim"
    assert await told(browser) == []


async def test_a_new_role_is_in_force_at_the_next_request(app: Quart) -> None:
    browser, _ = await administrator(app)
    person, theirs = await make_person(), app.test_client()
    await log_in(theirs, person)
    form = {"role": "Administrator"}
    page = f"/admin/user/{person.id}/change-account-type"
    assert (await browser.post(page, form=form)).status_code == 303
    assert (await theirs.get("/api/v1/users")).status_code == 200
    answer = await browser.patch(f"/api/v1/users/{person.id}", json={"role": "User"})
    assert (await answer.get_json())["role"] == "User"
    assert (await theirs.get("/api/v1/users")).status_code == 403
    assert [subject for _, subject in await told(browser)] == ["Your role has been changed"] * 2
    unknown = await browser.patch(f"/api/v1/users/{person.id}", json={"role": "No such role"})
    assert (unknown.status_code, (await unknown.get_json())["code"]) == (422, "unknown-role")
