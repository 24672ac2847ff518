"""The pages on which administrators look after people."""

import asyncio
from typing import Any
from uuid import UUID

from quart import (
    Blueprint,
    ResponseReturnValue,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from quart_schema import validate_querystring

from app.accounts import imports, people, roles, selections
from app.accounts.people_schemas import (
    MOST_CHOSEN,
    ImportForm,
    Invitee,
    NewPerson,
    OtherEmail,
    OtherRole,
    PeopleQuery,
    PersonChange,
    RoleIn,
    RoleOut,
    SelectionForm,
)
from app.accounts.schemas import FullName
from app.accounts.session_schemas import SessionRows
from app.auth.models import Permission
from app.auth.permissions import PERMISSIONS
from app.auth.states import AccountState
from app.config import settings
from app.database import db
from app.validators import Nothing
from app.web.access import limit, requires
from app.web.destinations import landing_pages
from app.web.forms import Form, form
from app.web.identity import identity

admin = Blueprint("people", __name__, url_prefix="/admin")

administers = requires(Permission.ADMINISTER)

BOTH = ["GET", "POST"]

# Acts with nothing to lose: what is said when they are done, and the function.
AT_ONCE = {
    "enable": ("The account is enabled. Its owner has a mail that says so.", people.enable),
    "confirm": ("The address is confirmed.", people.confirm),
    "reset-password": ("A link that sets a new password has been mailed.", people.send_reset),
    "invite-again": ("The invitation has been mailed again.", people.invite_again),
}
# Acts that are asked about first.
ASKED = {
    "disable": ("The account is disabled. Its owner has a mail that says so.", people.disable),
    "end-sessions": ("All sessions and tokens have ended.", people.end_sessions),
    "cancel-invitation": ("The invitation is cancelled.", people.cancel_invitation),
    "delete": ("The account is deleted.", people.delete_person),
}


@admin.get("/users")
@administers
@limit("PAGE_LIMIT")
@validate_querystring(PeopleQuery)
async def index(query_args: PeopleQuery) -> str:
    """List people, to find some and to choose some."""
    async with db.session() as session:
        page = await people.list_people(session, query_args)
        found = await roles.list_roles(session)
    return await render_template(
        "accounts/people.html", page=page, wanted=query_args, roles=found, states=AccountState
    )


@admin.post("/users/selection")
@administers
@limit("PAGE_LIMIT")
async def act_on() -> ResponseReturnValue:
    """Say what an act on the chosen people would do, or do it once that is confirmed."""
    request.max_form_parts = max(settings.MAX_FORM_PARTS, MOST_CHOSEN + 10)
    posted = Form(SelectionForm)
    if (chosen := await posted.read()) is None:
        few = f"Choose at least one person, at most {MOST_CHOSEN:,}, and what to do."
        await flash(few, "error")
        return redirect(url_for("people.index"), 303)
    if not chosen.confirmed:
        report = await selections.preview(identity(), chosen)
    else:
        async with db.transaction() as session:
            report = await selections.act_on(session, identity(), chosen)
    return await render_template("accounts/selection.html", chosen=chosen, report=report)


async def _roles() -> dict[str, Any]:
    async with db.session() as session:
        found = await roles.list_roles(session)
    default = next((role.name for role in found if role.default), "")
    return {"options": {"role": [(role.name, role.name) for role in found]}, "role": default}


@admin.route("/new-user", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/new_person.html", NewPerson, _roles)
async def new_user(data: NewPerson) -> ResponseReturnValue:
    """Make an account with a password that its owner has to change."""
    user = await people.create(identity(), data)
    await flash(f"{user.full_name} has an account now. Tell them the password.", "success")
    return redirect(url_for("people.show", user_id=user.id), 303)


@admin.route("/invite-user", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/invite.html", Invitee, _roles)
async def invite_user(data: Invitee) -> ResponseReturnValue:
    """Invite somebody by mail."""
    async with db.transaction() as session:
        user = await people.invite(session, identity(), data)
    await flash(f"{user.recipient} has been invited.", "success")
    return redirect(url_for("people.show", user_id=user.id), 303)


@admin.route("/invite-people", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/import.html", ImportForm, _roles)
async def import_people(data: ImportForm) -> ResponseReturnValue:
    """Invite several people: check what was typed or uploaded, and ask; then invite them."""
    text = data.file or data.people
    if not data.confirmed:
        async with db.session() as session:
            report = await imports.check(session, text, data.role)
        return await render_template(
            "accounts/import_report.html", report=report, text=text, role=data.role
        )
    async with db.transaction() as session:
        report = await imports.invite_all(session, identity(), text, data.role)
    await flash(f"{len(report.lines)} people have been invited.", "success")
    return redirect(url_for("people.index"), 303)


@admin.get("/user/<int:user_id>")
@admin.get("/user/<int:user_id>/info", endpoint="info")
@administers
@limit("PAGE_LIMIT")
async def show(user_id: int) -> str:
    """Show one account, and what can be done with it."""
    async with db.session() as session:
        user = await people.get_person(session, user_id)
        rows = await people.list_credentials(session, user_id)
    listed = await asyncio.to_thread(SessionRows.of, rows, identity())
    return await render_template("accounts/person.html", user=user, sessions=listed.items)


async def _person(user_id: int, **_: Any) -> dict[str, Any]:
    async with db.session() as session:
        user = await people.get_person(session, user_id)
    return {"user": user, "first_name": user.first_name, "last_name": user.last_name}


async def _person_and_roles(user_id: int) -> dict[str, Any]:
    shown = await _person(user_id)
    return await _roles() | shown | {"role": shown["user"].role.name}


async def _change(user_id: int, said: str, **values: Any) -> ResponseReturnValue:
    async with db.transaction() as session:
        await people.change(session, identity(), user_id, PersonChange(**values))
    await flash(said, "success")
    return redirect(url_for("people.show", user_id=user_id), 303)


@admin.route("/user/<int:user_id>/change-name", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/change_person.html", FullName, _person)
async def change_name(data: FullName, user_id: int) -> ResponseReturnValue:
    """Change somebody's name."""
    said = "The name has been saved."
    return await _change(user_id, said, first_name=data.first_name, last_name=data.last_name)


@admin.route("/user/<int:user_id>/change-email", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/change_person.html", OtherEmail, _person)
async def change_email(data: OtherEmail, user_id: int) -> ResponseReturnValue:
    """Change somebody's address."""
    said = "The address has been changed, and its owner has a mail that says so."
    return await _change(user_id, said, email=data.email)


@admin.route("/user/<int:user_id>/change-account-type", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/change_person.html", OtherRole, _person_and_roles)
async def change_role(data: OtherRole, user_id: int) -> ResponseReturnValue:
    """Give somebody another role."""
    said = "The role has been changed, and its owner has a mail that says so."
    return await _change(user_id, said, role=data.role)


@admin.post(f"/user/<int:user_id>/<any({', '.join(repr(act) for act in AT_ONCE)}):act>")
@administers
@limit("PAGE_LIMIT")
async def act_at_once(user_id: int, act: str) -> ResponseReturnValue:
    """Do something with an account that takes nothing away."""
    said, function = AT_ONCE[act]
    async with db.transaction() as session:
        await function(session, identity(), user_id)
    await flash(said, "success")
    return redirect(url_for("people.show", user_id=user_id), 303)


@admin.route(
    f"/user/<int:user_id>/<any({', '.join(repr(act) for act in ASKED)}):act>", methods=BOTH
)
@administers
@limit("PAGE_LIMIT")
@form("accounts/ask.html", Nothing, _person)
async def ask(data: Nothing, user_id: int, act: str) -> ResponseReturnValue:
    """Say what an act takes away, and do it once that is confirmed."""
    said, function = ASKED[act]
    async with db.transaction() as session:
        await function(session, identity(), user_id)
    await flash(said, "success")
    if act in ("delete", "cancel-invitation"):
        return redirect(url_for("people.index"), 303)
    return redirect(url_for("people.show", user_id=user_id), 303)


@admin.post("/user/<int:user_id>/sessions/<uuid:session_id>/end")
@administers
@limit("PAGE_LIMIT")
async def end_session(user_id: int, session_id: UUID) -> ResponseReturnValue:
    """End one of somebody's sessions or tokens."""
    async with db.transaction() as session:
        await people.end_session(session, identity(), user_id, session_id)
    await flash("It has ended: nobody gets in with it any more.", "success")
    return redirect(url_for("people.show", user_id=user_id), 303)


@admin.get("/roles")
@administers
@limit("PAGE_LIMIT")
async def list_roles() -> str:
    """List the roles: they are few."""
    async with db.session() as session:
        found = [
            (role, await roles.count_members(session, role))
            for role in await roles.list_roles(session)
        ]
    return await render_template(
        "accounts/roles.html",
        roles=found,
        permissions=PERMISSIONS,
        landing_pages=landing_pages(),
    )


async def _choices() -> dict[str, Any]:
    return {
        "options": {
            "index": list(landing_pages().items()),
            "grants": sorted(PERMISSIONS.items()),
        },
        "index": "main",
    }


async def _role(role_id: int) -> dict[str, Any]:
    async with db.session() as session:
        return {"role": await roles.get_role(session, role_id)}


async def _role_and_choices(role_id: int) -> dict[str, Any]:
    shown = await _role(role_id)
    return await _choices() | shown | RoleOut.of(shown["role"]).model_dump()


@admin.route("/roles/new", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/role.html", RoleIn, _choices)
async def new_role(data: RoleIn) -> ResponseReturnValue:
    """Make a role."""
    async with db.transaction() as session:
        await roles.create_role(session, identity(), data, landing_pages())
    await flash("The role has been made.", "success")
    return redirect(url_for("people.list_roles"), 303)


@admin.route("/roles/<int:role_id>", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/role.html", RoleIn, _role_and_choices)
async def edit_role(data: RoleIn, role_id: int) -> ResponseReturnValue:
    """Edit a role, for all its members at once."""
    async with db.transaction() as session:
        await roles.change_role(session, identity(), role_id, data, landing_pages())
    await flash("The role has been saved.", "success")
    return redirect(url_for("people.list_roles"), 303)


@admin.route("/roles/<int:role_id>/delete", methods=BOTH)
@administers
@limit("PAGE_LIMIT")
@form("accounts/delete_role.html", Nothing, _role)
async def delete_role(data: Nothing, role_id: int) -> ResponseReturnValue:
    """Delete a role that nobody has."""
    async with db.transaction() as session:
        await roles.delete_role(session, identity(), role_id)
    await flash("The role has been deleted.", "success")
    return redirect(url_for("people.list_roles"), 303)
