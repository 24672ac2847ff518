"""What a token may do: what its owner may, within its scopes, on every route of the API."""

from typing import Any

import pytest
from quart import Quart

from app.accounts import roles
from app.auth.models import Permission
from app.auth.permissions import PERMISSIONS
from app.config import Config
from app.web.access import Access, declared, required_scopes
from tests.accounts.people.administering import set_role
from tests.factories.people import log_in, make_person, make_role
from tests.factories.tokens import bearer, make_token
from tests.web.callers import routes

READ, WRITE, ADMINISTER = "read", "write", "administer"
SCOPES = [
    (),
    (READ,),
    (WRITE,),
    (READ, WRITE),
    (ADMINISTER,),
    (READ, ADMINISTER),
    (WRITE, ADMINISTER),
    (READ, WRITE, ADMINISTER),
]
SAFE = ("GET", "HEAD")

# What a token never does, written out so that weakening one of them is noticed.
SESSION_ONLY = {
    "DELETE /api/v1/session",
    "POST /api/v1/session/reauthentication",
    "POST /api/v1/account/password",
    "POST /api/v1/account/email",
    "POST /api/v1/account/email/confirmation",
    "POST /api/v1/account/deletion",
    "GET /api/v1/account/data",
    "DELETE /api/v1/account/sessions",
    "DELETE /api/v1/account/sessions/<uuid:session_id>",
    "POST /api/v1/account/tokens",
    "DELETE /api/v1/account/tokens/<uuid:token_id>",
    "DELETE /api/v1/users/<int:user_id>/sessions",
    "DELETE /api/v1/users/<int:user_id>/sessions/<uuid:session_id>",
}


def needed_by(method: str, access: Access) -> list[str]:
    scopes = []
    if method not in SAFE:
        scopes.append(WRITE)
    elif access.signed_in:
        scopes.append(READ)
    if access.permission is Permission.ADMINISTER:
        scopes.append(ADMINISTER)
    return scopes


def allows(kind: str, access: Access, scopes: tuple[str, ...]) -> bool:
    if not access.permission:
        return True
    is_granted = kind == "editor" and isinstance(access.permission, str)
    return is_granted or (kind == "administrator" and ADMINISTER in scopes)


async def role_of(kind: str) -> str:
    if kind == "editor":
        return await make_role(*PERMISSIONS)
    return {"member": roles.USER, "administrator": roles.ADMINISTRATOR}[kind]


@pytest.mark.parametrize("kind", ["member", "editor", "administrator"])
@pytest.mark.parametrize("scopes", SCOPES, ids=lambda scopes: "+".join(scopes) or "none")
async def test_a_token_opens_what_role_and_scopes_open_together(
    app: Quart, settings: Config, kind: str, scopes: tuple[str, ...]
) -> None:
    settings.API_LIMIT = "10000/minute"
    person = await make_person(role=await role_of(kind))
    headers = bearer(await make_token(person.id, *scopes or ("",)))
    client, tried = app.test_client(), set()
    for method, path, rule in routes(app):
        if not path.startswith("/api/"):
            continue
        access, _ = declared(app.view_functions[rule.endpoint])
        assert access
        answer = await client.open(path, method=method, headers=headers, json=None)
        body: Any = await answer.get_json() if answer.is_json else {}
        code = (body or {}).get("code", "")
        where, needed = f"{method} {rule.rule}", needed_by(method, access)
        if where.replace("HEAD", "GET") in SESSION_ONLY:
            expected, challenge = "session-required", None
        elif not set(needed) <= set(scopes):
            words = " ".join(needed)
            expected = "insufficient-scope"
            challenge = f'Bearer error="insufficient_scope", scope="{words}"'
        elif not allows(kind, access, scopes):
            expected, challenge = "forbidden", None
        else:
            assert answer.status_code not in (401, 403), (where, code)
            continue
        assert answer.status_code == 403, where
        assert answer.headers.get("WWW-Authenticate") == challenge, where
        if method != "HEAD":
            assert code == expected, where
        tried.add(where)
    assert tried >= SESSION_ONLY


def test_the_scopes_of_a_route_are_told_from_its_access() -> None:
    open_to_all, members = Access("public"), Access("signed in", signed_in=True)
    administrators = Access("x", signed_in=True, permission=Permission.ADMINISTER)
    editors = Access("x", signed_in=True, permission="pages.edit")
    for method in ("GET", "HEAD"):
        assert required_scopes(open_to_all, method) == ()
        assert required_scopes(members, method) == (READ,)
        assert required_scopes(editors, method) == (READ,)
        assert required_scopes(administrators, method) == (READ, ADMINISTER)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert required_scopes(open_to_all, method) == (WRITE,)
        assert required_scopes(members, method) == (WRITE,)
        assert required_scopes(administrators, method) == (WRITE, ADMINISTER)


async def test_a_token_administers_only_while_its_owner_does(app: Quart) -> None:
    boss = await make_person(role=roles.ADMINISTRATOR)
    await make_person(role=roles.ADMINISTRATOR)
    client, headers = app.test_client(), bearer(await make_token(boss.id))
    assert (await client.get("/api/v1/users", headers=headers)).status_code == 200
    await set_role(boss.id, roles.USER)
    assert (await client.get("/api/v1/users", headers=headers)).status_code == 403
    assert (await client.get("/api/v1/account", headers=headers)).status_code == 200
    await set_role(boss.id, roles.ADMINISTRATOR)
    assert (await client.get("/api/v1/users", headers=headers)).status_code == 200


async def test_many_are_not_logged_out_by_a_token_either(app: Quart) -> None:
    boss, person = await make_person(role=roles.ADMINISTRATOR), await make_person()
    browser, client = app.test_client(), app.test_client()
    await log_in(browser, person)
    headers = bearer(await make_token(boss.id))
    for dry_run in (True, False):
        act = {"ids": [person.id], "act": "end-sessions", "dry_run": dry_run}
        answer = await client.post("/api/v1/users/acts", json=act, headers=headers)
        assert (answer.status_code, (await answer.get_json())["code"]) == (403, "session-required")
    assert (await browser.get("/api/v1/account")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/account/manage", "/account/tokens", "/admin/users", "/no-such-page"]
)
async def test_on_pages_a_token_is_nobody(app: Quart, path: str) -> None:
    boss = await make_person(role=roles.ADMINISTRATOR, first_name="Zaphod")
    headers = bearer(await make_token(boss.id))
    answer = await app.test_client().get(path, headers=headers)
    assert answer.status_code == (404 if "no-such" in path else 303)
    assert "Zaphod" not in await answer.get_data(as_text=True)
    if answer.status_code == 303:
        assert answer.headers["Location"].startswith("/account/login")


async def test_a_form_does_nothing_for_a_token(app: Quart) -> None:
    person = await make_person()
    client, headers = app.test_client(), bearer(await make_token(person.id))
    form = {"first_name": "Kim", "last_name": "Other"}
    answer = await client.post("/account/manage", form=form, headers=headers)
    assert answer.headers["Location"].startswith("/account/login")
    account = await (await client.get("/api/v1/account", headers=headers)).get_json()
    assert account["first_name"] == person.first_name
