"""Accounts under /api/v1."""

from quart import Blueprint, Response, ResponseReturnValue, after_this_request
from quart.typing import ResponseTypes
from quart_schema import security_scheme, tag_blueprint, validate_request, validate_response

from app.accounts import registration, sessions
from app.accounts.schemas import Accepted, AccountOut, LogIn, MailedToken, Registration, SessionOut
from app.database import db
from app.web import bodies
from app.web.access import limit, public, signed_in
from app.web.identity import bearer, client, cookie, delete_cookie, identity, set_cookie, shown_secrets

accounts_api = Blueprint("accounts_api", __name__, url_prefix="/api/v1")
bodies.bound_forms(accounts_api)
tag_blueprint(accounts_api, ["accounts"])

MAIL_IS_ON_ITS_WAY = Accepted(detail="A mail is on its way to this address: use the link in it.")
SIGNED_IN: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]


@accounts_api.post("/session")
@public
@limit("API_LIMIT")
@validate_request(LogIn)
@validate_response(SessionOut, 201)
async def begin_session(data: LogIn) -> tuple[SessionOut, int]:
    """Log in.

    Answers with a token for `Authorization: Bearer`, and with a cookie for browsers. A session that came with the
    request ends. A wrong address and a wrong password look the same.
    """
    verified = await sessions.authenticate(data.email, data.password.get_secret_value(), client())
    async with db.transaction() as session:
        begun = await sessions.start_session(
            session, verified, client(), remember=data.remember_me, replaces=bearer() or cookie()
        )

    @after_this_request
    async def with_cookie(response: ResponseTypes) -> ResponseTypes:
        set_cookie(response, begun.secret, remember=begun.remember)
        return response

    return SessionOut(token=begun.secret, expires_at=begun.expires_at), 201


@accounts_api.delete("/session")
@signed_in
@limit("API_LIMIT")
@security_scheme(SIGNED_IN)
async def end_session() -> ResponseReturnValue:
    """Log out: the sessions that this request shows, by token or by cookie, end at once."""
    async with db.transaction() as session:
        for secret in shown_secrets():
            await sessions.end_session(session, secret)
    response = Response(status=204)
    delete_cookie(response)
    return response


@accounts_api.post("/account")
@public
@limit("API_LIMIT")
@validate_request(Registration)
@validate_response(Accepted, 202)
async def register(data: Registration) -> tuple[Accepted, int]:
    """Register.

    The answer is the same whether or not the address has an account; what comes of it, the mail says.
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
@security_scheme(SIGNED_IN)
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
@security_scheme(SIGNED_IN)
@validate_response(AccountOut)
async def account() -> AccountOut:
    """The account of whoever asks."""
    return AccountOut.of(identity())
