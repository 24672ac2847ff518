"""The administration of people and roles as JSON, under /api/v1."""

import asyncio
from uuid import UUID

from quart import Blueprint, Response, ResponseReturnValue
from quart_schema import validate_querystring, validate_request, validate_response

from app.accounts import imports, people, roles, selections
from app.accounts.imports import NoTable, NothingToImport, NotImported, TooManyLines
from app.accounts.people import NotYourself, WrongState
from app.accounts.people_schemas import (
    Import,
    ImportReport,
    Invitee,
    NewPerson,
    PeopleOut,
    PeopleQuery,
    PersonChange,
    PersonOut,
    Report,
    RoleIn,
    RoleOut,
    RolesOut,
    SelectionIn,
)
from app.accounts.roles import (
    DefaultAdministers,
    NameTaken,
    RoleInUse,
    RoleNeeded,
    TooManyRoles,
    UnknownLandingPage,
    UnknownPermission,
    UnknownRole,
)
from app.accounts.service import EmailTaken
from app.accounts.session_schemas import SessionRows
from app.auth.hashing import WeakPassword
from app.auth.models import Permission
from app.auth.scopes import SessionRequired
from app.database import db
from app.web.access import limit, requires, session_only
from app.web.api import if_match, raises, tag, with_etag
from app.web.destinations import landing_pages
from app.web.identity import identity

admin_api = Blueprint("people_api", __name__, url_prefix="/api/v1")
tag(admin_api, "administration", "People and roles, for administrators.")

administers = requires(Permission.ADMINISTER)


@admin_api.get("/users")
@administers
@limit("API_LIMIT")
@raises(UnknownRole)
@validate_querystring(PeopleQuery)
@validate_response(PeopleOut)
async def list_users(query_args: PeopleQuery) -> PeopleOut:
    """List people: find them by the beginning of a name or an address, filter and sort them."""
    async with db.session() as session:
        page = await people.list_people(session, query_args)
    return PeopleOut(items=[PersonOut.of(user) for user in page.items], next=page.next)


@admin_api.post("/users")
@administers
@limit("API_LIMIT")
@raises(EmailTaken, WeakPassword, UnknownRole)
@validate_request(NewPerson)
@validate_response(PersonOut, 201)
async def create_user(data: NewPerson) -> tuple[PersonOut, int]:
    """Make an account with a password, which its owner must change when they first log in."""
    return PersonOut.of(await people.create(identity(), data)), 201


@admin_api.post("/users/invitations")
@administers
@limit("API_LIMIT")
@raises(EmailTaken, UnknownRole)
@validate_request(Invitee)
@validate_response(PersonOut, 201)
async def invite_user(data: Invitee) -> tuple[PersonOut, int]:
    """Invite somebody by mail: they choose a password with the link in it."""
    async with db.transaction() as session:
        user = await people.invite(session, identity(), data)
        return PersonOut.of(await people.get_person(session, user.id)), 201


@admin_api.post("/users/import")
@administers
@limit("API_LIMIT")
@raises(NothingToImport, TooManyLines, NoTable, NotImported, UnknownRole)
@validate_request(Import)
@validate_response(ImportReport)
async def import_users(data: Import) -> ImportReport:
    """Invite several people at once, all of them or nobody.

    With `dry_run` the lines are only checked. Without it, a mistake in one is answered with 422.
    """
    if data.dry_run:
        async with db.session() as session:
            return await imports.check(session, data.people, data.role)
    async with db.transaction() as session:
        return await imports.invite_all(session, identity(), data.people, data.role)


@admin_api.post("/users/acts")
@administers
@limit("API_LIMIT")
@raises(UnknownRole, SessionRequired)
@validate_request(SelectionIn)
@validate_response(Report)
async def act_on_users(data: SelectionIn) -> Report:
    """Do one act to many accounts; those that refuse it are skipped, with a reason.

    With `dry_run` nothing is done, and the report is what it would be.
    """
    if data.dry_run:
        return await selections.preview(identity(), data)
    async with db.transaction() as session:
        return await selections.act_on(session, identity(), data)


@admin_api.get("/users/<int:user_id>")
@administers
@limit("API_LIMIT")
@validate_response(PersonOut)
@with_etag
async def get_user(user_id: int) -> PersonOut:
    """Return one account."""
    async with db.session() as session:
        return PersonOut.of(await people.get_person(session, user_id))


@admin_api.patch("/users/<int:user_id>")
@administers
@limit("API_LIMIT")
@raises(EmailTaken, UnknownRole, NotYourself)
@validate_request(PersonChange)
@validate_response(PersonOut)
@with_etag
async def change_user(data: PersonChange, user_id: int) -> PersonOut:
    """Change name, address or role; what is not sent stays as it is. The person is told by mail."""
    async with db.transaction() as session:
        return PersonOut.of(await people.change(session, identity(), user_id, data, if_match()))


@admin_api.delete("/users/<int:user_id>")
@administers
@limit("API_LIMIT")
@raises(NotYourself)
@with_etag
async def delete_user(user_id: int) -> ResponseReturnValue:
    """Delete an account with everything that belongs to it. Its owner is told by mail."""
    async with db.transaction() as session:
        await people.delete_person(session, identity(), user_id, if_match())
    return Response(status=204)


@admin_api.post("/users/<int:user_id>/disable")
@administers
@limit("API_LIMIT")
@raises(NotYourself, WrongState)
async def disable_user(user_id: int) -> ResponseReturnValue:
    """Shut somebody out at once; all their credentials end. They are told by mail."""
    async with db.transaction() as session:
        await people.disable(session, identity(), user_id)
    return Response(status=204)


@admin_api.post("/users/<int:user_id>/enable")
@administers
@limit("API_LIMIT")
@raises(WrongState)
async def enable_user(user_id: int) -> ResponseReturnValue:
    """Let somebody log in again. They are told by mail."""
    async with db.transaction() as session:
        await people.enable(session, identity(), user_id)
    return Response(status=204)


@admin_api.post("/users/<int:user_id>/confirm")
@administers
@limit("API_LIMIT")
@raises(WrongState)
async def confirm_user(user_id: int) -> ResponseReturnValue:
    """Confirm somebody's address by hand."""
    async with db.transaction() as session:
        await people.confirm(session, identity(), user_id)
    return Response(status=204)


@admin_api.post("/users/<int:user_id>/reset-password")
@administers
@limit("API_LIMIT")
@raises(WrongState)
async def send_reset(user_id: int) -> ResponseReturnValue:
    """Mail somebody a link that sets a new password."""
    async with db.transaction() as session:
        await people.send_reset(session, identity(), user_id)
    return Response(status=204)


@admin_api.post("/users/<int:user_id>/invitation")
@administers
@limit("API_LIMIT")
@raises(WrongState)
async def invite_again(user_id: int) -> ResponseReturnValue:
    """Mail an invitation once more."""
    async with db.transaction() as session:
        await people.invite_again(session, identity(), user_id)
    return Response(status=204)


@admin_api.delete("/users/<int:user_id>/invitation")
@administers
@limit("API_LIMIT")
@raises(WrongState)
async def cancel_invitation(user_id: int) -> ResponseReturnValue:
    """Cancel an invitation that has not been accepted; the account is deleted."""
    async with db.transaction() as session:
        await people.cancel_invitation(session, identity(), user_id)
    return Response(status=204)


@admin_api.get("/users/<int:user_id>/sessions")
@administers
@limit("API_LIMIT")
@validate_response(SessionRows)
async def list_user_sessions(user_id: int) -> SessionRows:
    """List somebody's sessions and tokens."""
    async with db.session() as session:
        await people.get_person(session, user_id)
        rows = await people.list_credentials(session, user_id)
    return await asyncio.to_thread(SessionRows.of, rows, identity())


@admin_api.delete("/users/<int:user_id>/sessions")
@session_only
@administers
@limit("API_LIMIT")
@raises(NotYourself)
async def end_user_sessions(user_id: int) -> ResponseReturnValue:
    """End all of somebody's sessions and tokens."""
    async with db.transaction() as session:
        await people.end_sessions(session, identity(), user_id)
    return Response(status=204)


@admin_api.delete("/users/<int:user_id>/sessions/<uuid:session_id>")
@session_only
@administers
@limit("API_LIMIT")
async def end_user_session(user_id: int, session_id: UUID) -> ResponseReturnValue:
    """End one of somebody's sessions or tokens."""
    async with db.transaction() as session:
        await people.end_session(session, identity(), user_id, session_id)
    return Response(status=204)


@admin_api.get("/roles")
@administers
@limit("API_LIMIT")
@validate_response(RolesOut)
async def list_roles() -> RolesOut:
    """List the roles."""
    async with db.session() as session:
        return RolesOut(items=[RoleOut.of(role) for role in await roles.list_roles(session)])


@admin_api.post("/roles")
@administers
@limit("API_LIMIT")
@raises(NameTaken, UnknownPermission, UnknownLandingPage, DefaultAdministers, TooManyRoles)
@validate_request(RoleIn)
@validate_response(RoleOut, 201)
async def create_role(data: RoleIn) -> tuple[RoleOut, int]:
    """Make a role."""
    async with db.transaction() as session:
        role = await roles.create_role(session, identity(), data, landing_pages())
        return RoleOut.of(role), 201


@admin_api.get("/roles/<int:role_id>")
@administers
@limit("API_LIMIT")
@validate_response(RoleOut)
@with_etag
async def get_role(role_id: int) -> RoleOut:
    """Return one role."""
    async with db.session() as session:
        return RoleOut.of(await roles.get_role(session, role_id))


@admin_api.put("/roles/<int:role_id>")
@administers
@limit("API_LIMIT")
@raises(NameTaken, UnknownPermission, UnknownLandingPage, DefaultAdministers, RoleNeeded)
@validate_request(RoleIn)
@validate_response(RoleOut)
@with_etag
async def change_role(data: RoleIn, role_id: int) -> RoleOut:
    """Change a role, for all its members at once."""
    async with db.transaction() as session:
        role = await roles.change_role(
            session, identity(), role_id, data, landing_pages(), if_match()
        )
        return RoleOut.of(role)


@admin_api.delete("/roles/<int:role_id>")
@administers
@limit("API_LIMIT")
@raises(RoleInUse, RoleNeeded)
@with_etag
async def delete_role(role_id: int) -> ResponseReturnValue:
    """Delete a role that nobody has."""
    async with db.transaction() as session:
        await roles.delete_role(session, identity(), role_id, if_match())
    return Response(status=204)
