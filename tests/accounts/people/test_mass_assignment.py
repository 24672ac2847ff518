"""No route of the administration takes a field that it does not show."""

import re
from typing import Any

import pytest
from quart import Quart
from sqlalchemy import select

from app.auth.models import Credential, Role, User
from app.database import db
from app.jobs.models import Job
from tests.accounts.people.administering import administrator
from tests.factories.people import make_person

NAME = {"first_name": "Kim", "last_name": "Other"}
EMAIL = {"email": "kim@example.com"}
PASSWORD = {"password": "nine green lanterns hum"}
ROLE: dict[str, Any] = {"name": "Editor", "index": "main"}
EXTRA = {
    "role_id": "2",
    "confirmed": "true",
    "permissions": "255",
    "key": "administrator",
    "must_change_password": "false",
    "password_hash": "x",
    "disabled_at": "",
    "user_id": "1",
}

# What each route takes; "{user}" and "{role}" stand for ids.
FORMS: dict[str, dict[str, Any]] = {
    "/admin/new-user": {**NAME, **EMAIL, **PASSWORD, "role": "User"},
    "/admin/invite-user": {**NAME, **EMAIL, "role": "User"},
    "/admin/invite-people": {"people": "Kim Other <kim@example.com>", "confirmed": "on"},
    "/admin/users/selection": {"ids": "{user}", "act": "disable", "confirmed": "on"},
    "/admin/user/{user}/change-name": NAME,
    "/admin/user/{user}/change-email": EMAIL,
    "/admin/user/{user}/change-account-type": {"role": "Administrator"},
    "/admin/user/{user}/{act}": {},
    "/admin/roles/new": ROLE,
    "/admin/roles/{role}": ROLE,
    "/admin/roles/{role}/delete": {},
}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/v1/users"): {**NAME, **EMAIL, **PASSWORD},
    ("POST", "/api/v1/users/invitations"): {**NAME, **EMAIL},
    ("POST", "/api/v1/users/import"): {"people": "Kim Other <kim@example.com>"},
    ("POST", "/api/v1/users/acts"): {"ids": [1], "act": "disable"},
    ("PATCH", "/api/v1/users/{user}"): {**NAME, **EMAIL, "role": "Administrator"},
    ("POST", "/api/v1/roles"): ROLE,
    ("PUT", "/api/v1/roles/{role}"): ROLE,
}
# These read no body.
BODILESS = {
    ("POST", "/admin/user/{user}/sessions/{session}/end"),
    ("DELETE", "/api/v1/users/{user}"),
    ("POST", "/api/v1/users/{user}/disable"),
    ("POST", "/api/v1/users/{user}/enable"),
    ("POST", "/api/v1/users/{user}/confirm"),
    ("POST", "/api/v1/users/{user}/reset-password"),
    ("POST", "/api/v1/users/{user}/invitation"),
    ("DELETE", "/api/v1/users/{user}/invitation"),
    ("DELETE", "/api/v1/users/{user}/sessions"),
    ("DELETE", "/api/v1/users/{user}/sessions/{session}"),
    ("DELETE", "/api/v1/roles/{role}"),
}


def test_every_route_that_changes_something_is_here(app: Quart) -> None:
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(("people.", "people_api.")):
            path = re.sub(r"<(?:[^<>]*:)?(\w+?)(?:_id)?>", r"{\1}", rule.rule)
            found |= {(method, path) for method in (rule.methods or set()) - {"GET", "HEAD"}}
    found = {(method, path) for method, path in found if method != "OPTIONS"}
    assert found == {("POST", path) for path in FORMS} | BODIES.keys() | BODILESS


async def everything() -> list[dict[str, Any]]:
    """Return all rows that a request might change."""
    rows: list[dict[str, Any]] = []
    async with db.session() as session:
        for model in (User, Role, Credential, Job):
            query = select(model.__table__).order_by(model.id)
            rows += [dict(row) for row in (await session.execute(query)).mappings()]
    for row in rows:
        row.pop("last_used_at", None)
    return rows


async def scene(path: str) -> dict[str, str]:
    """Return the ids of a person and a role."""
    person = await make_person()
    async with db.transaction() as session:
        role = Role(name="Other", index="main", permissions=1)
        session.add(role)
        await session.flush()
        return {"user": str(person.id), "role": str(role.id), "act": "disable"}


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_with_one_field_too_many_is_refused_and_changes_nothing(
    app: Quart, path: str
) -> None:
    browser, _ = await administrator(app)
    ids = await scene(path)
    form = {name: str(value).format(**ids) for name, value in FORMS[path].items()}
    before = await everything()
    for name, value in EXTRA.items():
        if name in form:
            continue
        answer = await browser.post(path.format(**ids), form=form | {name: value})
        # The selection has no form to show again: it leads back to the list.
        assert answer.status_code == (303 if "selection" in path else 422), name
        assert await everything() == before, name
    done = await browser.post(path.format(**ids), form=form)
    assert done.status_code in (200, 303), "without it, it is taken"
    assert await everything() != before


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_body_with_one_field_too_many_is_refused_and_changes_nothing(
    app: Quart, method: str, path: str
) -> None:
    browser, _ = await administrator(app)
    ids = await scene(path)
    body = dict(BODIES[method, path])
    if "ids" in body:
        body["ids"] = [int(ids["user"])]
    before = await everything()
    for name, value in EXTRA.items():
        answer = await browser.open(path.format(**ids), method=method, json={**body, name: value})
        assert answer.status_code == 422, name
        assert (await answer.get_json())["errors"] == [
            {"field": name, "message": "There is no such field."}
        ]
    assert await everything() == before
    done = await browser.open(path.format(**ids), method=method, json=body)
    assert done.status_code in (200, 201), "without it, it is taken"
    assert await everything() != before
