"""Roles are made, edited and deleted; the application's own go on working."""

import asyncio
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select, update

from app.accounts import roles
from app.accounts.people_schemas import RoleIn
from app.auth.models import Permission, Role, User
from app.auth.permissions import PERMISSIONS
from app.database import db
from tests.accounts.people.administering import (
    actor,
    administrator,
    carry_out,
    post,
    role_id,
    role_row,
    set_role,
    there,
)
from tests.accounts.people.test_one_person import id_of
from tests.factories.people import insert_roles, log_in, make_person, make_role

EDITOR: dict[str, Any] = {"name": "Editor", "index": "main"}


async def make(browser: Browser, **values: Any) -> dict[str, Any]:
    answer = await browser.post("/api/v1/roles", json=EDITOR | values)
    assert answer.status_code == 201, await answer.get_data(as_text=True)
    made: dict[str, Any] = await answer.get_json()
    return made


async def refused(browser: Browser, method: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = await browser.open(f"/api/v1/roles{path}", method=method, json=body)
    return answer.status_code, (await answer.get_json())["code"]


async def all_roles() -> list[Role]:
    async with db.session() as session:
        return list(await roles.list_roles(session))


async def test_a_role_is_made_and_edited_by_page_as_by_api(app: Quart) -> None:
    browser, _ = await administrator(app)
    name = min(PERMISSIONS)
    form = {"name": "Editor", "index": "admin", "grants": [name]}
    assert (await post(browser, "/admin/roles/new", form)).status_code == 303
    items = (await (await browser.get("/api/v1/roles")).get_json())["items"]
    made = next(role for role in items if role["name"] == "Editor")
    expected = {"index": "admin", "default": False, "administers": False, "grants": [name]}
    assert expected.items() <= made.items()
    page = f"/admin/roles/{made['id']}"
    shown = await (await browser.get(page)).get_data(as_text=True)
    assert f'value="{name}" checked' in " ".join(shown.split())
    form = {"name": "Writer", "index": "main"}
    assert (await browser.post(page, form=form)).status_code == 303
    now = await (await browser.get(f"/api/v1/roles/{made['id']}")).get_json()
    assert (now["name"], now["index"], now["grants"]) == ("Writer", "main", [])
    assert (await browser.post(f"{page}/delete", form={})).status_code == 303
    assert (await browser.get(page)).status_code == 404


@pytest.mark.parametrize("name", ["User", "USER", " user ", "Üser"])
async def test_no_two_roles_have_names_that_people_would_take_for_one(
    app: Quart, name: str
) -> None:
    browser, _ = await administrator(app)
    assert await refused(browser, "POST", "", EDITOR | {"name": name}) == (409, "name-taken")
    made = await make(browser)
    changed = await refused(browser, "PUT", f"/{made['id']}", EDITOR | {"name": name})
    assert changed == (409, "name-taken")
    page = await browser.post("/admin/roles/new", form={"name": name, "index": "main"})
    assert "Another role has this name." in await page.get_data(as_text=True)
    assert [role.name for role in await all_roles()] == ["Administrator", "Editor", "User"]


async def test_a_role_may_be_spelled_differently(app: Quart) -> None:
    browser, _ = await administrator(app)
    made = await make(browser)
    body = EDITOR | {"name": "EDITOR"}
    answer = await browser.put(f"/api/v1/roles/{made['id']}", json=body)
    assert (await answer.get_json())["name"] == "EDITOR"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"index": "no-such-page"}, "unknown-landing-page"),
        ({"index": "//evil.example"}, "unknown-landing-page"),
        ({"grants": ["no.such_permission"]}, "unknown-permission"),
        ({"name": ""}, "invalid"),
        ({"name": "x" * 65}, "invalid"),
        ({"name": "https://evil.example"}, "invalid"),
        ({"permissions": 255}, "invalid"),
    ],
)
async def test_what_no_feature_knows_is_refused_in_words(
    app: Quart, wrong: dict[str, Any], code: str
) -> None:
    browser, _ = await administrator(app)
    assert await refused(browser, "POST", "", EDITOR | wrong) == (422, code)
    made = await make(browser)
    assert await refused(browser, "PUT", f"/{made['id']}", EDITOR | wrong) == (422, code)
    page = await post(browser, "/admin/roles/new", EDITOR | wrong)
    assert page.status_code == 422


async def test_nobody_becomes_an_administrator_by_registering(app: Quart) -> None:
    browser, _ = await administrator(app)
    wrong = EDITOR | {"default": True, "administers": True}
    assert await refused(browser, "POST", "", wrong) == (422, "default-administers")
    made = await make(browser, administers=True)
    assert await refused(browser, "PUT", f"/{made['id']}", wrong) == (422, "default-administers")
    for key in (roles.USER, roles.ADMINISTRATOR):
        form = {"name": key, "index": "main", "default": "on", "administers": "on"}
        page = await browser.post(f"/admin/roles/{await role_id(key)}", form=form)
        assert page.status_code == 422
        assert "Anybody can register" in await page.get_data(as_text=True)
    assert [role.name for role in await all_roles() if role.default] == ["User"]
    assert (await role_row(roles.USER)).permissions == Permission.GENERAL


async def test_a_role_in_use_or_of_the_application_is_not_deleted(app: Quart) -> None:
    browser, _ = await administrator(app)
    made = await make(browser)
    person = await make_person()
    await browser.patch(f"/api/v1/users/{person.id}", json={"role": "Editor"})
    assert await refused(browser, "DELETE", f"/{made['id']}") == (409, "role-in-use")
    page = await browser.post(f"/admin/roles/{made['id']}/delete", form={})
    assert "Give them another one first." in await page.get_data(as_text=True)
    for key in (roles.USER, roles.ADMINISTRATOR):
        path = f"/{await role_id(key)}"
        assert await refused(browser, "DELETE", path) == (409, "role-needed")
    await browser.patch(f"/api/v1/users/{person.id}", json={"role": "User"})
    assert (await browser.delete(f"/api/v1/roles/{made['id']}")).status_code == 204


async def test_the_role_of_administrators_goes_on_administering(app: Quart) -> None:
    browser, _ = await administrator(app)
    path = f"/{await role_id(roles.ADMINISTRATOR)}"
    body = {"name": "Owner", "index": "main"}
    assert await refused(browser, "PUT", path, body) == (409, "role-needed")
    answer = await browser.put(f"/api/v1/roles{path}", json=body | {"administers": True})
    assert (answer.status_code, (await answer.get_json())["name"]) == (200, "Owner")
    assert (await browser.get("/admin")).status_code == 200


async def test_nobody_takes_administration_from_their_own_role(app: Quart) -> None:
    browser, me = await administrator(app)
    made = await make(browser, administers=True)
    await make_person(role=roles.ADMINISTRATOR)
    async with db.transaction() as session:
        await session.execute(update(User).where(User.id == me.id).values(role_id=made["id"]))
    assert await refused(browser, "PUT", f"/{made['id']}", EDITOR) == (409, "role-needed")


async def test_a_role_that_was_renamed_meanwhile_is_still_ones_own(app: Quart) -> None:
    """What a request knows of its user's role may be older than the turn that it gets."""
    browser, _ = await administrator(app)
    made = await make(browser, administers=True)
    person = await make_person()
    await browser.patch(f"/api/v1/users/{person.id}", json={"role": "Editor"})
    theirs = await actor(person)
    renamed = RoleIn(name="Renamed", index="main", administers=True)
    await carry_out(roles.change_role, await actor(), made["id"], renamed, ["main"])
    with pytest.raises(roles.RoleNeeded):
        await carry_out(
            roles.change_role, theirs, made["id"], RoleIn(name="X", index="main"), ["main"]
        )


async def defaults() -> list[str]:
    return [role.name for role in await all_roles() if role.default]


async def test_new_accounts_get_one_role_whichever_that_is(app: Quart) -> None:
    browser, _ = await administrator(app)
    made = await make(browser, default=True)
    assert await defaults() == ["Editor"]
    assert (await there((await make_person(role=roles.USER)).id)).role.name == "User"
    person = {"first_name": "Kim", "last_name": "Example", "email": "kim@example.com"}
    await browser.post("/api/v1/users/invitations", json=person)
    assert (await there(await id_of("kim@example.com"))).role.name == "Editor"
    assert await refused(browser, "PUT", f"/{made['id']}", EDITOR) == (409, "role-needed")
    assert await refused(browser, "DELETE", f"/{made['id']}") == (409, "role-needed")
    await insert_roles()
    assert await defaults() == ["Editor"]


async def test_of_defaults_that_are_chosen_at_once_one_is_left(app: Quart) -> None:
    who = await actor()
    made = [RoleIn(name=f"Role {number}", index="main", default=True) for number in range(5)]
    await asyncio.gather(*(carry_out(roles.create_role, who, role, ["main"]) for role in made))
    assert len(await defaults()) == 1
    chosen = [r for r in await all_roles() if not r.default and r.key != roles.ADMINISTRATOR]
    await asyncio.gather(
        *(
            carry_out(
                roles.change_role,
                who,
                role.id,
                RoleIn(name=role.name, index="main", default=True),
                ["main"],
            )
            for role in chosen
        )
    )
    assert len(await defaults()) == 1


async def test_what_administrators_changed_of_a_role_stays_at_the_next_set_up(app: Quart) -> None:
    browser, _ = await administrator(app)
    path = f"/api/v1/roles/{await role_id(roles.USER)}"
    grants = sorted(PERMISSIONS)  # none where no feature declares any
    body = {"name": "Member", "index": "admin", "grants": grants, "default": True}
    assert (await browser.put(path, json=body)).status_code == 200
    await make(browser, name="User")
    await insert_roles()
    found = {role.name: role for role in await all_roles()}
    assert sorted(found) == ["Administrator", "Member", "User"]
    assert (found["Member"].key, found["Member"].index) == (roles.USER, "admin")
    assert found["Member"].grants.split() == grants
    assert found["User"].key is None


async def test_roles_of_a_database_without_keys_are_found_by_their_names(app: Quart) -> None:
    ids = [await role_id(key) for key in (roles.USER, roles.ADMINISTRATOR)]
    async with db.transaction() as session:
        await session.execute(update(Role).values(key=None))
    await insert_roles()
    assert [await role_id(key) for key in (roles.USER, roles.ADMINISTRATOR)] == ids
    assert await defaults() == ["User"]


async def test_bits_of_a_projects_own_stay_when_a_role_is_edited(app: Quart) -> None:
    browser, _ = await administrator(app)
    made = await make(browser)
    async with db.transaction() as session:
        await session.execute(update(Role).where(Role.id == made["id"]).values(permissions=0x101))
    path = f"/api/v1/roles/{made['id']}"
    for administers, bits in ((True, 0x1FF), (False, 0x101)):
        answer = await browser.put(path, json=EDITOR | {"administers": administers})
        assert (await answer.get_json())["administers"] is administers
        async with db.session() as session:
            query = select(Role.permissions).where(Role.id == made["id"])
            assert (await session.execute(query)).scalar_one() == bits


async def land(app: Quart, person: Any, query: str = "") -> str:
    form = {"email": person.email, "password": person.password}
    answer = await app.test_client().post(f"/account/login{query}", form=form)
    assert answer.status_code == 303
    return answer.headers["Location"]


async def test_one_lands_on_the_page_of_ones_role_unless_one_was_going_elsewhere(
    app: Quart,
) -> None:
    member, boss = await make_person(), await make_person(role=roles.ADMINISTRATOR)
    assert await land(app, member) == "/"
    assert await land(app, boss) == "/admin"
    assert await land(app, boss, "?next=/account/manage") == "/account/manage"
    for target in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"):
        assert await land(app, boss, f"?next={target}") in ("/admin", "/"), target


@pytest.mark.parametrize("index", ["of-a-removed-feature", "//evil.example", ""])
async def test_a_landing_page_that_is_gone_is_the_home_page(app: Quart, index: str) -> None:
    browser, _ = await administrator(app)
    made = await make(browser)
    async with db.transaction() as session:
        await session.execute(update(Role).where(Role.id == made["id"]).values(index=index))
    person = await make_person()
    await browser.patch(f"/api/v1/users/{person.id}", json={"role": "Editor"})
    assert await land(app, person) == "/"
    page = await browser.get(f"/admin/roles/{made['id']}")
    assert page.status_code == 200
    answer = await browser.put(f"/api/v1/roles/{made['id']}", json=EDITOR | {"index": index})
    assert answer.status_code == 200, "it may stay as it is"


async def test_a_landing_page_that_a_role_may_not_open_is_the_home_page(app: Quart) -> None:
    browser, _ = await administrator(app)
    await make(browser, index="admin")
    person = await make_person()
    await browser.patch(f"/api/v1/users/{person.id}", json={"role": "Editor"})
    assert await land(app, person) == "/"


async def test_a_new_role_lands_at_home_and_the_list_says_what_roles_may(app: Quart) -> None:
    browser, _ = await administrator(app)
    await make(browser, grants=["pages.edit"])
    form = await (await browser.get("/admin/roles/new")).get_data(as_text=True)
    assert '<option value="main" selected>' in form
    assert "Edit pages" in await (await browser.get("/admin/roles")).get_data(as_text=True)


async def test_who_has_a_named_permission_alone_administers_nobody(app: Quart) -> None:
    editor = app.test_client()
    await log_in(editor, await make_person(role=await make_role(*PERMISSIONS)))
    for path in ("/admin/users", "/admin/roles", "/api/v1/users", "/api/v1/roles"):
        assert (await editor.get(path)).status_code == 403, path


async def test_a_permission_that_a_role_loses_is_gone_at_the_next_request(app: Quart) -> None:
    boss, _ = await administrator(app)
    person, theirs = await make_person(role=roles.ADMINISTRATOR), app.test_client()
    await log_in(theirs, person)
    assert (await theirs.get("/api/v1/users")).status_code == 200
    await set_role(person.id, roles.USER)
    assert (await theirs.get("/api/v1/users")).status_code == 403
    assert (await boss.get("/api/v1/users")).status_code == 200
    assert (await role_row(roles.USER)).permissions == 1


async def test_there_are_not_more_roles_than_lists_are_filtered_by(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, _ = await administrator(app)
    monkeypatch.setattr(roles, "MAX_ROLES", 3)
    await make(browser)
    found = await refused(browser, "POST", "", EDITOR | {"name": "Another"})
    assert found == (409, "too-many-roles")
    assert len(await all_roles()) == 3
