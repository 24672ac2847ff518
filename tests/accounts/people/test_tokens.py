"""Programs that administer: a token does what its owner may do, and nothing more."""

import pytest
from quart import Quart

from app.accounts import roles
from app.auth.permissions import PERMISSIONS
from app.web.access import declared
from tests.accounts.people.administering import do, set_role, there
from tests.factories.people import Person, log_in, make_person, make_role
from tests.factories.tokens import bearer, make_token
from tests.web.callers import routes


async def token_of(person: Person) -> dict[str, str]:
    """Return the headers of a program with a token of this person."""
    return bearer(await make_token(person.id))


@pytest.mark.parametrize("kind", ["member", "editor", "unconfirmed"])
async def test_a_token_opens_no_route_that_its_owner_may_not_use(app: Quart, kind: str) -> None:
    role = await make_role(*PERMISSIONS) if kind == "editor" else roles.USER
    if kind == "unconfirmed":
        role = roles.ADMINISTRATOR
    headers = await token_of(await make_person(role=role, confirmed=kind != "unconfirmed"))
    client, tried = app.test_client(), 0
    for method, path, rule in routes(app):
        access, _ = declared(app.view_functions[rule.endpoint])
        assert access
        may = kind == "editor" and isinstance(access.permission, str)
        if path.startswith("/api/") and access.permission and not may:
            answer = await client.open(path, method=method, headers=headers, json=None)
            assert answer.status_code == 403, (method, path)
            tried += 1
    assert tried > 20


async def test_a_token_of_an_administrator_administers_until_its_owner_does_not(
    app: Quart,
) -> None:
    boss, person = await make_person(role=roles.ADMINISTRATOR), await make_person()
    await make_person(role=roles.ADMINISTRATOR)
    headers, client = await token_of(boss), app.test_client()
    path = f"/api/v1/users/{person.id}"
    changed = await client.patch(path, json={"first_name": "Kim"}, headers=headers)
    assert changed.status_code == 200
    assert (await client.post(f"{path}/disable", headers=headers)).status_code == 204
    itself = await client.post(f"/api/v1/users/{boss.id}/disable", headers=headers)
    assert itself.status_code == 409
    await set_role(boss.id, roles.USER)
    assert (await client.post(f"{path}/enable", headers=headers)).status_code == 403
    assert (await there(person.id)).state == "disabled"


async def test_an_administrator_ends_a_token(app: Quart) -> None:
    boss, person = app.test_client(), await make_person()
    await log_in(boss, await make_person(role=roles.ADMINISTRATOR))
    headers, client = await token_of(person), app.test_client()
    assert (await client.get("/api/v1/account", headers=headers)).status_code == 200
    listed = await (await boss.get(f"/api/v1/users/{person.id}/sessions")).get_json()
    [row] = listed["items"]
    await boss.delete(f"/api/v1/users/{person.id}/sessions/{row['id']}")
    assert (await client.get("/api/v1/account", headers=headers)).status_code == 401
    headers = await token_of(person)
    await do(boss, "end sessions", person.id, by_page=True)
    assert (await client.get("/api/v1/account", headers=headers)).status_code == 401
