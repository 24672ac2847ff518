"""Nobody gives themselves a role, or anything else, by a field that a form does not show."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select

from app.auth.models import Credential, Purpose, Role, User
from app.auth.tokens import digest, new_secret
from app.database import db, utcnow
from app.jobs.models import Job
from tests.factories.people import PASSWORD, Person, log_in, make_person

EXTRA = {
    "role": "Administrator",
    "role_id": "2",
    "confirmed": "true",
    "permissions": "255",
    "is_admin": "true",
    "id": "1",
    "disabled_at": "",
    "user_id": "1",
    "password_hash": "x",
}
NEW = "nine green lanterns hum"
NAME = {"first_name": "Kim", "last_name": "Other"}
EMAIL = {"email": "kim@example.com"}
TWICE = {"new_password": NEW, "new_password2": NEW}
CHANGE = {"old_password": PASSWORD, "new_password": NEW}
NEW_TOKEN = {"name": "Nightly export", "scopes": "read", "expires_in_days": 30}
TOKEN = {"token": ""}  # a link's of the purpose below

# What each route takes; whether one is signed in; whose link it uses.
Case = tuple[dict[str, Any], bool, Purpose | None]
FORMS: dict[str, Case] = {
    "/account/login": ({**EMAIL, "password": PASSWORD, "remember_me": "on"}, False, None),
    "/account/register": ({**NAME, **EMAIL, "password": NEW, "password2": NEW}, False, None),
    "/account/reset-password": (EMAIL, False, None),
    "/account/reset-password/<token>": (TWICE, False, Purpose.RESET),
    "/account/confirm-account/<token>": ({"password": PASSWORD}, False, Purpose.CONFIRM),
    "/account/set-up/<token>": (
        {**NAME, "password": NEW, "password2": NEW},
        False,
        Purpose.CONFIRM,
    ),
    "/account/manage/change-email/<token>": ({"password": PASSWORD}, False, Purpose.CHANGE_EMAIL),
    "/account/join-from-invite/<token>": (
        {"password": NEW, "password2": NEW},
        False,
        Purpose.INVITE,
    ),
    "/account/reauthenticate": ({"password": PASSWORD}, True, None),
    "/account/manage": (NAME, True, None),
    "/account/manage/info": (NAME, True, None),
    "/account/manage/change-password": ({**CHANGE, "new_password2": NEW}, True, None),
    "/account/manage/change-email": ({**EMAIL, "password": PASSWORD}, True, None),
    "/account/delete": ({"password": PASSWORD}, True, None),
    "/account/tokens": ({**NEW_TOKEN, "form_id": str(uuid4())}, True, None),
}
BODIES: dict[str, Case] = {
    "/api/v1/session": ({**EMAIL, "password": PASSWORD, "remember_me": True}, False, None),
    "/api/v1/session/reauthentication": ({"password": PASSWORD}, True, None),
    "/api/v1/password-strength": ({"password": NEW, "about": ["Kim"]}, False, None),
    "/api/v1/account": ({**NAME, **EMAIL, "password": NEW}, False, None),
    "/api/v1/account/confirmation": ({**TOKEN, "password": PASSWORD}, False, Purpose.CONFIRM),
    "/api/v1/account/set-up": ({**TOKEN, **NAME, "password": NEW}, False, Purpose.CONFIRM),
    "/api/v1/account/deletion": ({"password": PASSWORD}, True, None),
    "/api/v1/account/password": (CHANGE, True, None),
    "/api/v1/account/password/reset/mail": (EMAIL, False, None),
    "/api/v1/account/password/reset": ({**TOKEN, "new_password": NEW}, False, Purpose.RESET),
    "/api/v1/account/invitation": ({**TOKEN, "password": NEW}, False, Purpose.INVITE),
    "/api/v1/account/tokens": ({**NEW_TOKEN, "scopes": ["read"]}, True, None),
    "/api/v1/account/email": ({**EMAIL, "password": PASSWORD}, True, None),
    "/api/v1/account/email/confirmation": (
        {**TOKEN, "password": PASSWORD},
        False,
        Purpose.CHANGE_EMAIL,
    ),
    "/api/v1/account/email/objection": (TOKEN, False, Purpose.OBJECT),
}
PATCHES: dict[str, Case] = {"/api/v1/account": (NAME, True, None)}
# These read no body, so nothing in one can matter; what they do to an account is as without it.
BODILESS: dict[str, Case] = {
    "/account/confirm-account": ({}, True, None),
    "/account/keep-email/<token>": ({}, False, Purpose.OBJECT),
    "/account/logout": ({}, True, None),
    "/account/sessions/<uuid:session_id>/end": ({}, True, None),
    "/account/sessions/end-others": ({}, True, None),
    "/account/tokens/<uuid:token_id>/end": ({}, True, None),
    "/api/v1/account/confirmation/mail": ({}, True, None),
}
DELETES = {
    "/api/v1/session",
    "/api/v1/account/sessions",
    "/api/v1/account/sessions/<uuid:session_id>",
    "/api/v1/account/tokens/<uuid:token_id>",
}


def test_every_route_of_accounts_that_changes_something_is_here(app: Quart) -> None:
    found: dict[str, set[str]] = {"POST": set(), "PATCH": set(), "PUT": set(), "DELETE": set()}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(("accounts.", "accounts_api.")):
            for method in found.keys() & (rule.methods or set()):
                found[method].add(rule.rule)
    posts = FORMS.keys() | BODIES.keys() | BODILESS.keys()
    assert found == {"POST": posts, "PATCH": PATCHES.keys(), "PUT": set(), "DELETE": DELETES}


async def everything() -> list[dict[str, Any]]:
    """Return all rows that a request might change."""
    rows: list[dict[str, Any]] = []
    async with db.session() as session:
        for model in (User, Role, Credential, Job):
            query = select(model.__table__).order_by(model.id)
            rows += [
                {"table": model.__tablename__, **row}
                for row in (await session.execute(query)).mappings()
            ]
    return rows


async def make_link(person: Person, purpose: Purpose) -> str:
    secret = new_secret()
    async with db.transaction() as session:
        link = Credential(purpose=purpose, digest=digest(secret), email=person.email)
        if purpose is Purpose.CONFIRM:
            link.pending = {"registration": str(person.id)}
        else:
            link.user_id = person.id
        link.expires_at = utcnow() + timedelta(hours=1)
        session.add(link)
    return secret


async def someone(browser: Browser, case: Case) -> tuple[Person, str]:
    """Create the person that the case is about, with a link if it takes one."""
    _, is_signed_in, purpose = case
    person = await make_person(confirmed=purpose in (None, Purpose.CHANGE_EMAIL, Purpose.OBJECT))
    if is_signed_in:
        await log_in(browser, person)
    return person, await make_link(person, purpose) if purpose else ""


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_with_one_field_too_many_is_refused_and_changes_nothing(
    client: Browser, path: str
) -> None:
    _, secret = await someone(client, FORMS[path])
    before = await everything()
    for name, value in EXTRA.items():
        response = await client.post(
            path.replace("<token>", secret), form={**FORMS[path][0], name: value}
        )
        assert response.status_code == 422, name
        assert f"{name}: There is no such field." in await response.get_data(as_text=True)
        assert "Set-Cookie" not in response.headers
    assert await everything() == before


@pytest.mark.parametrize(
    ("method", "path"), [*(("POST", path) for path in BODIES), *(("PATCH", p) for p in PATCHES)]
)
async def test_a_body_with_one_field_too_many_is_refused_and_changes_nothing(
    client: Browser, method: str, path: str
) -> None:
    case = (BODIES if method == "POST" else PATCHES)[path]
    _, secret = await someone(client, case)
    body = case[0] | ({"token": secret} if secret else {})
    before = await everything()
    for name, value in EXTRA.items():
        response = await client.open(path, method=method, json={**body, name: value})
        assert response.status_code == 422, name
        # This alone is wrong with it: without the field it is taken.
        assert (await response.get_json())["errors"] == [
            {"field": name, "message": "There is no such field."}
        ]
        assert "Set-Cookie" not in response.headers
    assert await everything() == before


@pytest.mark.parametrize("path", BODILESS)
async def test_a_request_that_takes_no_fields_takes_none_of_these_either(
    client: Browser, path: str
) -> None:
    person, secret = await someone(client, BODILESS[path])
    async with db.session() as session:
        before = await session.get_one(User, person.id)
    target = re.sub(r"<uuid:\w+>", str(uuid4()), path.replace("<token>", secret))
    if path.startswith("/api/"):
        refused = await client.post(target, query_string=EXTRA)
        assert refused.status_code == 422
    response = await client.post(target, form=EXTRA)
    assert response.status_code in (202, 204, 303, 404)
    async with db.session() as session:
        after = await session.get_one(User, person.id)
    assert (after.id, after.role_id, after.disabled_at) == (before.id, before.role_id, None)
    assert after.confirmed == before.confirmed
    assert after.password_hash == (
        None if BODILESS[path][2] is Purpose.OBJECT else before.password_hash
    )
