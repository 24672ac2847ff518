"""Logging in and out, and the caller's sessions, as JSON under /api/v1."""

import asyncio
from uuid import UUID

from quart import Response, ResponseReturnValue
from quart_schema import validate_request, validate_response

from app.accounts import log_in
from app.accounts.api import accounts_api, session_out, without_cookie
from app.accounts.schemas import LogIn, OwnPassword, SessionOut
from app.accounts.session_schemas import SessionRows
from app.auth import sessions
from app.auth.models import Purpose
from app.auth.password_checks import WrongCredentials, WrongPassword
from app.database import db
from app.web.access import before_password_change, limit, public, session_only, signed_in
from app.web.api import raises
from app.web.identity import (
    client,
    client_to_remember,
    identity,
    shown_secrets,
)


@accounts_api.post("/session")
@public
@limit("API_LIMIT")
@raises(WrongCredentials)
@validate_request(LogIn)
@validate_response(SessionOut, 201)
async def begin_session(data: LogIn) -> tuple[SessionOut, int]:
    """Log in.

    Returns a token for `Authorization: Bearer`, and sets a cookie for browsers. A session that came
    with the request ends. An unknown address and a wrong password get the same answer.
    """
    begun = await log_in.log_in(
        data.email,
        data.password.get_secret_value(),
        client_to_remember(),
        remember=data.remember_me,
        replaces=shown_secrets(),
    )
    return session_out(begun), 201


@accounts_api.delete("/session")
@before_password_change
@session_only
@signed_in
@limit("API_LIMIT")
async def end_session() -> ResponseReturnValue:
    """Log out: end the sessions that this request carries, as a token or as a cookie."""
    async with db.transaction() as session:
        await sessions.log_out(session, identity(), shown_secrets())
    return without_cookie()


@accounts_api.post("/session/reauthentication")
@session_only
@signed_in
@limit("API_LIMIT")
@raises(WrongPassword)
@validate_request(OwnPassword)
async def reauthenticate(data: OwnPassword) -> ResponseReturnValue:
    """Enter the password again, as operations that answer `reauthentication-required` demand."""
    await sessions.reauthenticate(identity(), data.password.get_secret_value(), client())
    return Response(status=204)


@accounts_api.get("/account/sessions")
@signed_in
@limit("API_LIMIT")
@validate_response(SessionRows)
async def list_sessions() -> SessionRows:
    """List the caller's sessions: the 100 that were used last."""
    async with db.session() as session:
        rows = await sessions.list_credentials(session, identity().user_id, Purpose.SESSION)
    return await asyncio.to_thread(SessionRows.of, rows, identity())


@accounts_api.delete("/account/sessions")
@session_only
@signed_in
@limit("API_LIMIT")
async def end_other_sessions() -> ResponseReturnValue:
    """End all of the caller's sessions except this one."""
    async with db.transaction() as session:
        await sessions.end_other_sessions(session, identity(), client().device)
    return Response(status=204)


@accounts_api.delete("/account/sessions/<uuid:session_id>")
@session_only
@signed_in
@limit("API_LIMIT")
async def end_one_session(session_id: UUID) -> ResponseReturnValue:
    """End one of the caller's sessions."""
    async with db.transaction() as session:
        await sessions.end_credential(session, identity().subject, session_id, Purpose.SESSION)
    return Response(status=204)
