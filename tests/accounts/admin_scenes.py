"""What administrators do with people and roles, by page and by API."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import select

from app.accounts import service
from app.auth import sessions
from app.auth.models import Purpose, Role
from app.database import db
from tests.accounts.surfaces import API, PAGE, Request
from tests.factories.people import Person, invite, make_person, make_role
from tests.scenes import CHOSEN, Scene, Stage, scene

GUEST = {"first_name": "Kim", "last_name": "Guest", "email": "kim@example.com"}
LINES = "Kim Guest <kim@example.com>\nSascha Guest <sascha@example.com>"
NEW_ROLES, NEW_USERS = "/api/v1/roles", "/api/v1/users"
ROLE = {"name": "Editor", "index": "main"}

Find = Callable[[], Awaitable[Person]]


async def unconfirmed() -> Person:
    return await make_person(confirmed=False)


async def disabled() -> Person:
    person = await make_person()
    async with db.transaction() as session:
        await service.disable_user(session, person.id)
    return person


def on(
    made: Find, method: str, path: str, fields: dict[str, Any] | None = None
) -> Callable[[Stage], Awaitable[object]]:
    """Play what an administrator does with somebody, whose id is in the path."""

    async def play(stage: Stage) -> None:
        person = await made()
        request = Request(
            method, path.format(id=person.id), by_page=path.startswith("/admin"), fields=fields
        )
        await stage.send(await stage.administrator(), request)

    return play


def by_administrator(method: str, path: str, fields: dict[str, Any]) -> Any:
    """Play what an administrator does with nobody in particular."""

    async def play(stage: Stage) -> None:
        by_page = path.startswith("/admin")
        await stage.send(await stage.administrator(), Request(method, path, by_page, fields))

    return play


def one_session(method: str, path: str) -> Any:
    """Play that an administrator ends one of somebody's sessions."""

    async def play(stage: Stage) -> None:
        _, person = await stage.member()
        async with db.session() as session:
            [theirs] = await sessions.list_credentials(session, person.id, Purpose.SESSION)
        path_of_it = path.format(id=person.id, session=theirs.id)
        request = Request(method, path_of_it, path.startswith("/admin"))
        await stage.send(await stage.administrator(), request)

    return play


def selected(act: str, *, by_page: bool, made: Find = make_person) -> Any:
    """Play that an administrator does one act to two people."""

    async def play(stage: Stage) -> None:
        ids = [(await made()).id for _ in range(2)]
        fields: dict[str, Any] = {"ids": ids, "act": act}
        if act == "role":
            fields["role"] = await make_role()
        if by_page:
            fields["confirmed"] = "on"
        path = "/admin/users/selection" if by_page else "/api/v1/users/acts"
        answer = await stage.send(
            await stage.administrator(), Request("POST", path, by_page, fields)
        )
        if not by_page:
            assert [line["done"] for line in (await answer.get_json())["lines"]] == [True, True]

    return play


def on_role(method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
    """Play what an administrator does with a role."""

    async def play(stage: Stage) -> None:
        key = await make_role()
        async with db.session() as session:
            role = (await session.execute(select(Role).where(Role.key == key))).scalar_one()
        async with db.transaction() as session:
            (await session.get_one(Role, role.id)).key = None  # none that the code names
        by_page = path.startswith("/admin")
        request = Request(method, path.format(id=role.id), by_page, fields)
        await stage.send(await stage.administrator(), request)

    return play


async def change_everything(stage: Stage) -> None:
    person = await make_person()
    fields = GUEST | {"role": await make_role()}
    request = Request("PATCH", f"/api/v1/users/{person.id}", API, fields)
    await stage.send(await stage.administrator(), request)


async def give_role(stage: Stage) -> None:
    person, role = await make_person(), await make_role()
    path = f"/admin/user/{person.id}/change-account-type"
    await stage.send(await stage.administrator(), Request("POST", path, PAGE, {"role": role}))


NAME = {"first_name": "Kim", "last_name": "Guest"}
ACCOUNT = "/admin/user/{id}"
USER = "/api/v1/users/{id}"
NEW = GUEST | {"password": CHOSEN}

SCENES: list[Scene] = [
    scene("people.new_user", "user.created", by_administrator("POST", "/admin/new-user", NEW)),
    scene("people_api.create_user", "user.created", by_administrator("POST", NEW_USERS, NEW)),
    scene(
        "people.invite_user", "user.invited", by_administrator("POST", "/admin/invite-user", GUEST)
    ),
    scene(
        "people_api.invite_user",
        "user.invited",
        by_administrator("POST", "/api/v1/users/invitations", GUEST),
    ),
    scene(
        "people.import_people",
        "user.invited",
        by_administrator("POST", "/admin/invite-people", {"people": LINES, "confirmed": "on"}),
    ),
    scene(
        "people_api.import_users",
        "user.invited",
        by_administrator("POST", "/api/v1/users/import", {"people": LINES}),
    ),
    scene(
        "people.change_name",
        "user.renamed",
        on(make_person, "POST", f"{ACCOUNT}/change-name", NAME),
    ),
    scene(
        "people.change_email",
        "user.email_changed",
        on(make_person, "POST", f"{ACCOUNT}/change-email", {"email": "kim@example.com"}),
    ),
    scene("people.change_role", "user.role_changed", give_role),
    scene(
        "people_api.change_user",
        "user.renamed user.email_changed user.role_changed",
        change_everything,
    ),
    scene(
        "people.act_at_once enable", "user.enabled", on(disabled, "POST", f"{ACCOUNT}/enable", {})
    ),
    scene("people_api.enable_user", "user.enabled", on(disabled, "POST", f"{USER}/enable")),
    scene(
        "people.act_at_once confirm",
        "user.confirmed",
        on(unconfirmed, "POST", f"{ACCOUNT}/confirm", {}),
    ),
    scene("people_api.confirm_user", "user.confirmed", on(unconfirmed, "POST", f"{USER}/confirm")),
    scene(
        "people.act_at_once reset-password",
        "user.reset_sent",
        on(make_person, "POST", f"{ACCOUNT}/reset-password", {}),
    ),
    scene(
        "people_api.send_reset",
        "user.reset_sent",
        on(make_person, "POST", f"{USER}/reset-password"),
    ),
    scene(
        "people.act_at_once invite-again",
        "user.invited",
        on(invite, "POST", f"{ACCOUNT}/invite-again", {}),
    ),
    scene("people_api.invite_again", "user.invited", on(invite, "POST", f"{USER}/invitation")),
    scene("people.ask disable", "user.disabled", on(make_person, "POST", f"{ACCOUNT}/disable", {})),
    scene("people_api.disable_user", "user.disabled", on(make_person, "POST", f"{USER}/disable")),
    scene(
        "people.ask end-sessions",
        "sessions.revoked",
        on(make_person, "POST", f"{ACCOUNT}/end-sessions", {}),
    ),
    scene(
        "people_api.end_user_sessions",
        "sessions.revoked",
        on(make_person, "DELETE", f"{USER}/sessions"),
    ),
    scene(
        "people.ask cancel-invitation",
        "user.deleted",
        on(invite, "POST", f"{ACCOUNT}/cancel-invitation", {}),
    ),
    scene(
        "people_api.cancel_invitation", "user.deleted", on(invite, "DELETE", f"{USER}/invitation")
    ),
    scene("people.ask delete", "user.deleted", on(make_person, "POST", f"{ACCOUNT}/delete", {})),
    scene("people_api.delete_user", "user.deleted", on(make_person, "DELETE", USER)),
    scene(
        "people.end_session",
        "session.revoked",
        one_session("POST", f"{ACCOUNT}/sessions/{{session}}/end"),
    ),
    scene(
        "people_api.end_user_session",
        "session.revoked",
        one_session("DELETE", f"{USER}/sessions/{{session}}"),
    ),
    *(
        scene(endpoint, acts, selected(act, by_page=by_page, made=made))
        for endpoint, by_page in (("people.act_on", PAGE), ("people_api.act_on_users", API))
        for act, acts, made in (
            ("disable", "user.disabled", make_person),
            ("enable", "user.enabled", disabled),
            ("role", "user.role_changed", make_person),
            ("end-sessions", "sessions.revoked", make_person),
            ("delete", "user.deleted", make_person),
        )
    ),
    scene("people.new_role", "role.created", by_administrator("POST", "/admin/roles/new", ROLE)),
    scene("people_api.create_role", "role.created", by_administrator("POST", NEW_ROLES, ROLE)),
    scene("people.edit_role", "role.changed", on_role("POST", "/admin/roles/{id}", ROLE)),
    scene("people_api.change_role", "role.changed", on_role("PUT", "/api/v1/roles/{id}", ROLE)),
    scene("people.delete_role", "role.deleted", on_role("POST", "/admin/roles/{id}/delete", {})),
    scene("people_api.delete_role", "role.deleted", on_role("DELETE", "/api/v1/roles/{id}")),
]

NOTHING: dict[str, str] = {}
