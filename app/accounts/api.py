"""Accounts under /api/v1."""

import asyncio
from uuid import UUID

from quart import Blueprint, Response, ResponseReturnValue, after_this_request
from quart.typing import ResponseTypes
from quart_schema import tag_blueprint, validate_request, validate_response

from app.accounts import email_change, passwords, registration, service
from app.accounts.schemas import (
    Accepted,
    AccountOut,
    Candidate,
    Confirmed,
    DataExport,
    EmailChange,
    FullName,
    InvitationAccepted,
    LogIn,
    MailedToken,
    NewLink,
    OwnPassword,
    PasswordChange,
    PasswordReset,
    Registration,
    ResetRequest,
    SessionOut,
    SessionRows,
    Strength,
)
from app.auth import sessions
from app.auth.hashing import passwords as strengths
from app.auth.models import Purpose
from app.auth.sessions import NewSession
from app.database import db
from app.web import bodies
from app.web.access import limit, public, reauthenticated, signed_in
from app.web.identity import (
    bearer,
    client,
    cookie,
    delete_cookie,
    identity,
    set_cookie,
    shown_secrets,
)

accounts_api = Blueprint("accounts_api", __name__, url_prefix="/api/v1")
bodies.bound_forms(accounts_api)
tag_blueprint(accounts_api, ["accounts"])

MAIL_IS_ON_ITS_WAY = Accepted(detail="A mail is on its way to this address: use the link in it.")


@accounts_api.post("/session")
@public
@limit("API_LIMIT")
@validate_request(LogIn)
@validate_response(SessionOut, 201)
async def begin_session(data: LogIn) -> tuple[SessionOut, int]:
    """Log in.

    Answers with a token for `Authorization: Bearer`, and with a cookie for browsers. A session that
    came with the request ends. A wrong address and a wrong password look the same.
    """
    verified = await sessions.authenticate(data.email, data.password.get_secret_value(), client())
    async with db.transaction() as session:
        begun = await sessions.start_session(
            session, verified, client(), remember=data.remember_me, replaces=bearer() or cookie()
        )
    return _handed_over(begun), 201


def _handed_over(begun: NewSession) -> SessionOut:
    """A session as both kinds of clients take it: the token in the body, the cookie beside it."""

    @after_this_request
    async def with_cookie(response: ResponseTypes) -> ResponseTypes:
        set_cookie(response, begun.secret, remember=begun.remember)
        return response

    return SessionOut(token=begun.secret, expires_at=begun.expires_at)


@accounts_api.delete("/session")
@signed_in
@limit("API_LIMIT")
async def end_session() -> ResponseReturnValue:
    """Log out: the sessions that this request shows, by token or by cookie, end at once."""
    async with db.transaction() as session:
        for secret in shown_secrets():
            await sessions.end_session(session, secret)
    return _gone()


def _gone() -> Response:
    response = Response(status=204)
    delete_cookie(response)
    return response


@accounts_api.post("/session/reauthentication")
@signed_in
@limit("API_LIMIT")
@validate_request(OwnPassword)
async def reauthenticate(data: OwnPassword) -> ResponseReturnValue:
    """Show one's password once more, as what answers `reauthentication-required` wants."""
    await sessions.require_password(identity(), data.password.get_secret_value(), client())
    async with db.transaction() as session:
        await sessions.mark_reauthenticated(session, identity())
    return Response(status=204)


@accounts_api.post("/password-strength")
@public
@limit("STRENGTH_LIMIT")
@validate_request(Candidate)
@validate_response(Strength)
async def password_strength(data: Candidate) -> Strength:
    """Say how hard a password is to guess, by whoever knows what is in `about`.

    Nothing of it is kept.
    """
    about = [*data.about, *passwords.bad_words(identity())]
    score, reason = await strengths.strength(data.password.get_secret_value(), about)
    return Strength(score=score, accepted=not reason, reason=reason)


@accounts_api.post("/account")
@public
@limit("API_LIMIT")
@validate_request(Registration)
@validate_response(Accepted, 202)
async def register(data: Registration) -> tuple[Accepted, int]:
    """Register.

    The answer is the same whether or not the address has an account; what comes of it, the mail
    says.
    """
    password_hash = await registration.admit(data, client())
    async with db.transaction() as session:
        await registration.register_user(session, data, password_hash)
    return MAIL_IS_ON_ITS_WAY, 202


@accounts_api.post("/account/confirmation")
@public
@limit("API_LIMIT")
@validate_request(MailedToken)
async def confirm(data: MailedToken) -> ResponseReturnValue:
    """Confirm an address with the secret of the link that was mailed to it. It works once."""
    async with db.transaction() as session:
        await registration.confirm(session, data.token)
    return Response(status=204)


@accounts_api.post("/account/confirmation/mail")
@signed_in
@limit("API_LIMIT")
@validate_response(Accepted, 202)
async def send_confirmation_again() -> tuple[Accepted, int]:
    """Mail the link once more, to an address that is not confirmed yet."""
    if identity().confirmed:
        return Accepted(detail="This address is confirmed already."), 202
    await registration.admit_sending_again(identity())
    async with db.transaction() as session:
        await registration.send_again(session, identity())
    return MAIL_IS_ON_ITS_WAY, 202


@accounts_api.get("/account")
@signed_in
@limit("API_LIMIT")
@validate_response(AccountOut)
async def account() -> AccountOut:
    """The account of whoever asks."""
    return AccountOut.of(identity())


@accounts_api.patch("/account")
@signed_in
@limit("API_LIMIT")
@validate_request(FullName)
@validate_response(AccountOut)
async def rename(data: FullName) -> AccountOut:
    """Change one's name."""
    async with db.transaction() as session:
        await service.rename_user(session, identity(), data)
    return AccountOut.of(identity()).model_copy(update=data.model_dump())


@accounts_api.post("/account/deletion")
@signed_in
@limit("API_LIMIT")
@validate_request(OwnPassword)
async def delete_account(data: OwnPassword) -> ResponseReturnValue:
    """Delete one's account with all that belongs to it; the last administrator cannot."""
    await sessions.require_password(identity(), data.password.get_secret_value(), client())
    async with db.transaction() as session:
        await service.delete_account(session, identity())
    return _gone()


@accounts_api.get("/account/data")
@reauthenticated
@limit("API_LIMIT")
@validate_response(DataExport)
async def download_data() -> DataExport:
    """All that is stored about oneself."""
    async with db.session() as session:
        return DataExport(**await service.export_data(session, identity()))


@accounts_api.get("/account/sessions")
@signed_in
@limit("API_LIMIT")
@validate_response(SessionRows)
async def list_sessions() -> SessionRows:
    """Where one is logged in: the 100 sessions that were used last."""
    async with db.session() as session:
        rows = await sessions.list_credentials(session, identity(), Purpose.SESSION)
    return await asyncio.to_thread(SessionRows.of, rows, identity())


@accounts_api.delete("/account/sessions")
@signed_in
@limit("API_LIMIT")
async def end_other_sessions() -> ResponseReturnValue:
    """End every session of one's own but this one."""
    async with db.transaction() as session:
        await sessions.end_other_sessions(session, identity())
    return Response(status=204)


@accounts_api.delete("/account/sessions/<uuid:session_id>")
@signed_in
@limit("API_LIMIT")
async def end_one_session(session_id: UUID) -> ResponseReturnValue:
    """End one of one's sessions."""
    async with db.transaction() as session:
        await sessions.end_credential(session, identity(), Purpose.SESSION, session_id)
    return Response(status=204)


@accounts_api.post("/account/password")
@signed_in
@limit("API_LIMIT")
@validate_request(PasswordChange)
@validate_response(SessionOut)
async def change_password(data: PasswordChange) -> SessionOut:
    """Choose another password. Every session and token ends; the answer is a new session."""
    verified, password_hash = await passwords.admit_change(identity(), data, client())
    async with db.transaction() as session:
        begun = await passwords.change_password(
            session, identity(), verified, password_hash, client()
        )
    return _handed_over(begun)


@accounts_api.post("/account/password/reset/mail")
@public
@limit("API_LIMIT")
@validate_request(ResetRequest)
@validate_response(Accepted, 202)
async def request_reset(data: ResetRequest) -> tuple[Accepted, int]:
    """Have a link mailed that sets a new password.

    The answer is the same whether or not there is an account.
    """
    await passwords.admit_reset(data.email, client())
    async with db.transaction() as session:
        await passwords.request_reset(session, data.email)
    return Accepted(
        detail="If this address has an account, a mail with a link is on its way to it."
    ), 202


@accounts_api.post("/account/password/reset")
@public
@limit("API_LIMIT")
@validate_request(PasswordReset)
async def reset_password(data: PasswordReset) -> ResponseReturnValue:
    """Set a new password with the secret of a mailed link. Every session and token ends."""
    return await _set_by_link(
        data.token, Purpose.RESET, data.new_password.get_secret_value(), "new_password"
    )


@accounts_api.post("/account/invitation")
@public
@limit("API_LIMIT")
@validate_request(InvitationAccepted)
async def accept_invitation(data: InvitationAccepted) -> ResponseReturnValue:
    """Accept an invitation with the secret of its link: choose a password."""
    return await _set_by_link(
        data.token, Purpose.INVITE, data.password.get_secret_value(), "password"
    )


async def _set_by_link(token: str, purpose: Purpose, password: str, field: str) -> Response:
    password_hash = await passwords.admit_by_link(token, purpose, password, field, client())
    async with db.transaction() as session:
        await passwords.set_by_link(session, token, purpose, password_hash)
    return Response(status=204)


@accounts_api.post("/account/email")
@signed_in
@limit("API_LIMIT")
@validate_request(EmailChange)
@validate_response(Accepted, 202)
async def change_email(data: EmailChange) -> tuple[Accepted, int]:
    """Ask for another address; the link that is mailed to it changes it.

    The former one is told how to object.
    """
    verified = await email_change.admit(identity(), data, client())
    async with db.transaction() as session:
        await email_change.request_change(session, verified, data.email)
    return MAIL_IS_ON_ITS_WAY, 202


@accounts_api.post("/account/email/confirmation")
@public
@limit("API_LIMIT")
@validate_request(MailedToken)
@validate_response(Confirmed)
async def confirm_change_of_email(data: MailedToken) -> Confirmed:
    """Confirm the new address with the secret of the link that was mailed to it.

    Every session ends; the answer has a new one if it is one's own that confirmed.
    """
    async with db.transaction() as session:
        user_id = await email_change.confirm(session, data.token)
        renewed = await sessions.renew_session(session, identity(), user_id, client())
    return Confirmed(session=_handed_over(renewed) if renewed else None)


@accounts_api.post("/account/email/objection")
@public
@limit("API_LIMIT")
@validate_request(MailedToken)
@validate_response(NewLink)
async def object_to_change_of_email(data: MailedToken) -> NewLink:
    """Keep the former address, with the secret of the link in the notice to it.

    Everything ends, and nobody knows the password any more: the answer is a token to reset it with.
    """
    async with db.transaction() as session:
        return NewLink(token=await email_change.revert_email_change(session, data.token))
