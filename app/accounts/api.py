"""The JSON API of accounts, under /api/v1."""

from quart import Blueprint, Response, ResponseReturnValue, after_this_request
from quart.typing import ResponseTypes
from quart_schema import validate_request, validate_response

from app.accounts import (
    confirmation,
    email_change,
    passwords,
    personal_data,
    registration,
    service,
)
from app.accounts.confirmation import SetUpRequired
from app.accounts.email_change import SameEmail
from app.accounts.links import LinkExpired, LinkIncomplete
from app.accounts.schemas import (
    Accepted,
    AccountOut,
    AddressSetUp,
    Candidate,
    Confirmed,
    DataExport,
    EmailChange,
    InvitationAccepted,
    LinkAndPassword,
    MailedToken,
    NameChange,
    NewLink,
    OwnPassword,
    PasswordChange,
    PasswordReset,
    Registration,
    ResetRequest,
    SessionOut,
    Strength,
)
from app.accounts.service import EmailTaken, LastAdministrator
from app.auth import hashing
from app.auth.hashing import WeakPassword
from app.auth.models import Purpose
from app.auth.password_checks import WrongCredentials, WrongPassword
from app.auth.sessions import NewSession
from app.database import db
from app.web import bodies
from app.web.access import (
    before_password_change,
    limit,
    public,
    reauthenticated,
    session_only,
    signed_in,
)
from app.web.api import if_match, raises, tag, with_etag
from app.web.identity import (
    bearer,
    client,
    client_to_remember,
    cookie,
    delete_cookie,
    identity,
    set_cookie,
)

accounts_api = Blueprint("accounts_api", __name__, url_prefix="/api/v1")
bodies.bound_forms(accounts_api)
tag(accounts_api, "accounts", "Signing in, and one's own account.")

EMAIL_SENT = Accepted(
    detail="We have sent an email to this address. Open the link in it to continue."
)


def session_out(begun: NewSession) -> SessionOut:
    """Return a new session to both kinds of clients: a token in the body, and a cookie."""

    @after_this_request
    async def with_cookie(response: ResponseTypes) -> ResponseTypes:
        set_cookie(response, begun.secret, remember=begun.remember)
        return response

    return SessionOut(token=begun.secret, expires_at=begun.expires_at)


def without_cookie() -> Response:
    """Return an empty answer that deletes the session's cookie."""
    response = Response(status=204)
    delete_cookie(response)
    return response


@accounts_api.post("/password-strength")
@public
@limit("STRENGTH_LIMIT")
@validate_request(Candidate)
@validate_response(Strength)
async def password_strength(data: Candidate) -> Strength:
    """Rate how hard a password is to guess for somebody who knows what is in `about`.

    Nothing is stored.
    """
    bad_words = [*data.about, *passwords.bad_words(identity().email, identity())]
    score, reason = await hashing.passwords.strength(data.password.get_secret_value(), bad_words)
    return Strength(score=score, accepted=not reason, reason=reason)


@accounts_api.post("/account")
@public
@limit("API_LIMIT")
@raises(WeakPassword)
@validate_request(Registration)
@validate_response(Accepted, 202)
async def register(data: Registration) -> tuple[Accepted, int]:
    """Register.

    The answer is the same whether or not the address has an account; the email says what to do.
    """
    await registration.register(data, client_to_remember())
    return EMAIL_SENT, 202


@accounts_api.post("/account/confirmation")
@public
@limit("API_LIMIT")
@raises(LinkExpired, LinkIncomplete, WrongPassword, SetUpRequired)
@validate_request(LinkAndPassword)
@validate_response(Confirmed)
async def confirm_email(data: LinkAndPassword) -> Confirmed:
    """Confirm an email address with the secret of the link that was mailed to it, once.

    The caller is signed in to the registration, or sends its password, and gets a session for it.
    Where there is no such registration the answer is `set-up-required`: set the account up.
    """
    begun = await confirmation.confirm(
        data.token, data.typed, identity(), client_to_remember(), replaces=bearer() or cookie()
    )
    return Confirmed(session=session_out(begun) if begun else None)


@accounts_api.post("/account/set-up")
@public
@limit("API_LIMIT")
@raises(LinkExpired, LinkIncomplete, WeakPassword, EmailTaken)
@validate_request(AddressSetUp)
@validate_response(SessionOut, 201)
async def set_up(data: AddressSetUp) -> tuple[SessionOut, int]:
    """Choose a name and a password with the secret of a link that confirms an address.

    An unconfirmed account that somebody has registered with this address ends.
    """
    begun = await confirmation.set_up(
        data.token, data, client_to_remember(), replaces=bearer() or cookie()
    )
    return session_out(begun), 201


@accounts_api.post("/account/confirmation/mail")
@signed_in
@limit("API_LIMIT")
@validate_response(Accepted, 202)
async def send_confirmation_again() -> tuple[Accepted, int]:
    """Mail another confirmation link, if the address is not confirmed yet."""
    if identity().confirmed:
        return Accepted(detail="This email address is already confirmed."), 202
    await registration.resend_confirmation(identity())
    return EMAIL_SENT, 202


@accounts_api.get("/account")
@before_password_change
@signed_in
@limit("API_LIMIT")
@validate_response(AccountOut)
@with_etag
async def get_account() -> AccountOut:
    """Return the account of the caller."""
    return AccountOut.of_caller(identity())


@accounts_api.patch("/account")
@signed_in
@limit("API_LIMIT")
@validate_request(NameChange)
@validate_response(AccountOut)
@with_etag
async def change_account(data: NameChange) -> AccountOut:
    """Change the name of the caller; what is not sent stays as it is."""
    async with db.transaction() as session:
        return await service.rename_user(session, identity(), data, if_match())


@accounts_api.post("/account/deletion")
@session_only
@signed_in
@limit("API_LIMIT")
@raises(WrongPassword, LastAdministrator)
@validate_request(OwnPassword)
async def delete_account(data: OwnPassword) -> ResponseReturnValue:
    """Delete the account of the caller and everything that belongs to it.

    The last administrator cannot be deleted.
    """
    await service.delete_account(identity(), data.password.get_secret_value(), client())
    return without_cookie()


@accounts_api.get("/account/data")
@reauthenticated
@limit("API_LIMIT")
@validate_response(DataExport)
async def download_data() -> DataExport:
    """Return everything that is stored about the caller."""
    async with db.session() as session:
        return DataExport(**await personal_data.export_data(session, identity()))


@accounts_api.post("/account/password")
@before_password_change
@session_only
@signed_in
@limit("API_LIMIT")
@raises(WrongPassword, WrongCredentials, WeakPassword)
@validate_request(PasswordChange)
@validate_response(SessionOut)
async def change_password(data: PasswordChange) -> SessionOut:
    """Change the password. All sessions and tokens end; the answer is a new session."""
    return session_out(await passwords.change(identity(), data, client()))


@accounts_api.post("/account/password/reset/mail")
@public
@limit("API_LIMIT")
@validate_request(ResetRequest)
@validate_response(Accepted, 202)
async def request_reset(data: ResetRequest) -> tuple[Accepted, int]:
    """Mail a link that sets a new password.

    The answer is the same whether or not the address has an account.
    """
    await passwords.request_reset(data.email, client())
    detail = "If there is an account with this address, it has an email with a link from us."
    return Accepted(detail=detail), 202


@accounts_api.post("/account/password/reset")
@public
@limit("API_LIMIT")
@raises(LinkExpired, LinkIncomplete, WeakPassword)
@validate_request(PasswordReset)
async def reset_password(data: PasswordReset) -> ResponseReturnValue:
    """Set a new password with the secret of a mailed link. All sessions and tokens end."""
    password = data.new_password.get_secret_value()
    await passwords.set_by_link(
        data.token, Purpose.RESET, password, client_to_remember(), field="new_password"
    )
    return Response(status=204)


@accounts_api.post("/account/invitation")
@public
@limit("API_LIMIT")
@raises(LinkExpired, LinkIncomplete, WeakPassword)
@validate_request(InvitationAccepted)
async def accept_invitation(data: InvitationAccepted) -> ResponseReturnValue:
    """Accept an invitation with the secret of its link, and choose a password."""
    password = data.password.get_secret_value()
    await passwords.set_by_link(
        data.token, Purpose.INVITE, password, client_to_remember(), field="password"
    )
    return Response(status=204)


@accounts_api.post("/account/email")
@session_only
@signed_in
@limit("API_LIMIT")
@raises(WrongPassword, SameEmail)
@validate_request(EmailChange)
@validate_response(Accepted, 202)
async def change_email(data: EmailChange) -> tuple[Accepted, int]:
    """Request another email address; the link that is mailed to it changes it.

    The present address gets a link that keeps it.
    """
    await email_change.request(identity(), data, client())
    return EMAIL_SENT, 202


@accounts_api.post("/account/email/confirmation")
@session_only
@public
@limit("API_LIMIT")
@raises(LinkExpired, LinkIncomplete, WrongPassword, EmailTaken)
@validate_request(LinkAndPassword)
@validate_response(Confirmed)
async def confirm_change_of_email(data: LinkAndPassword) -> Confirmed:
    """Confirm the new address with the secret of the link that was mailed to it.

    The caller is signed in to the account, or sends its password. All its sessions end, and the
    answer holds a new one; API tokens stay valid.
    """
    begun = await email_change.confirm(
        data.token, data.typed, identity(), client_to_remember(), replaces=bearer() or cookie()
    )
    return Confirmed(session=session_out(begun) if begun else None)


@accounts_api.post("/account/email/objection")
@public
@limit("API_LIMIT")
@raises(LinkExpired, LinkIncomplete, EmailTaken)
@validate_request(MailedToken)
@validate_response(NewLink)
async def object_to_change_of_email(data: MailedToken) -> NewLink:
    """Keep the previous address, with the secret of the link that was mailed to it.

    All sessions and tokens end and the password is removed; the answer is a token to reset it with.
    """
    async with db.transaction() as session:
        return NewLink(token=await email_change.revert_email_change(session, data.token))
