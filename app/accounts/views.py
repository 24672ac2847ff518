"""The pages of a user's own account."""

import asyncio
from typing import Any
from uuid import UUID

from quart import (
    Blueprint,
    Response,
    ResponseReturnValue,
    flash,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)

from app.accounts import (
    email_change,
    log_in,
    passwords,
    personal_data,
    registration,
    service,
)
from app.accounts.schemas import (
    EmailChange,
    FullName,
    LogIn,
    OwnPassword,
    PasswordChangeForm,
    RegistrationForm,
    ResetRequest,
)
from app.accounts.session_schemas import SessionRows
from app.auth import sessions
from app.auth.identity import Identity
from app.auth.models import Purpose
from app.auth.sessions import NewSession
from app.database import db
from app.web import bodies, kept
from app.web.access import (
    anonymous_only,
    before_password_change,
    limit,
    reauthenticated,
    signed_in,
    signs_in,
)
from app.web.destinations import home_url, landing_url, safe_target
from app.web.forms import form
from app.web.identity import (
    client,
    client_to_remember,
    delete_cookie,
    identity,
    set_cookie,
    shown_secrets,
)

accounts = Blueprint("accounts", __name__, url_prefix="/account", template_folder="templates")
bodies.bound_forms(accounts)

BOTH = ["GET", "POST"]


async def logged_in(begun: NewSession, target: str) -> ResponseReturnValue:
    """Go on to a page with a new session, and say so if somebody else was logged in before."""
    before: Identity = identity()
    if before.is_authenticated:
        now = await sessions.identify(begun.secret, (Purpose.SESSION,))
        if now.user_id != before.user_id:
            words = f"You are now logged in as {now.email}. {before.email} has been logged out."
            await flash(words, "info")
    response = redirect(target, 303)
    set_cookie(response, begun.secret, remember=begun.remember)
    return response


@accounts.route("/login", methods=BOTH)
@signs_in
@limit("PAGE_LIMIT")
@form("accounts/login.html", LogIn)
async def login(data: LogIn) -> ResponseReturnValue:
    """Log in, and go on to the page that asked for it.

    Whoever was logged in before, in another tab perhaps, is logged out, and the page says so.
    """
    begun = await log_in.log_in(
        data.email,
        data.password.get_secret_value(),
        client_to_remember(),
        remember=data.remember_me,
        replaces=shown_secrets(),
    )
    landing = landing_url(await sessions.identify(begun.secret, (Purpose.SESSION,)))
    return await logged_in(begun, safe_target(request.args.get("next"), landing))


@accounts.route("/register", methods=BOTH)
@anonymous_only
@limit("PAGE_LIMIT")
@form("accounts/register.html", RegistrationForm)
async def register(data: RegistrationForm) -> ResponseReturnValue:
    """Register. The answer is the same whether or not the address has an account."""
    await registration.register(data, client_to_remember())
    await flash(f"Almost done: open the link in the email we sent to {data.email}.", "success")
    return redirect(url_for("accounts.login"), 303)


@accounts.get("/unconfirmed")
@signed_in
@limit("PAGE_LIMIT")
async def unconfirmed() -> ResponseReturnValue:
    """Ask a user who has not confirmed their address yet to do so."""
    if identity().confirmed:
        return redirect(home_url(), 303)
    return await render_template("accounts/unconfirmed.html")


@accounts.route("/confirm-account", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
async def send_confirmation_again() -> ResponseReturnValue:
    """Mail another confirmation link."""
    if identity().confirmed:
        await flash("Your email address is confirmed already.", "info")
    elif request.method == "POST":
        await registration.resend_confirmation(identity())
        words = f"We have sent an email to {identity().email}. If you have several, any will do."
        await flash(words, "success")
    return redirect(url_for("accounts.unconfirmed"), 303)


@accounts.route("/reset-password", methods=BOTH)
@anonymous_only
@limit("PAGE_LIMIT")
@form("accounts/reset_password.html", ResetRequest)
async def reset_password(data: ResetRequest) -> ResponseReturnValue:
    """Mail a link that sets a new password.

    The answer is the same whether or not the address has an account.
    """
    await passwords.request_reset(data.email, client())
    words = f"If there is an account for {data.email}, it has an email with a link from us."
    await flash(words, "success")
    return redirect(url_for("accounts.login"), 303)


@accounts.post("/logout")
@before_password_change
@signed_in
@limit("PAGE_LIMIT")
async def logout() -> ResponseReturnValue:
    """Log out of this session; other sessions stay valid."""
    async with db.transaction() as session:
        await sessions.log_out(session, identity(), shown_secrets())
    return await _without_cookie("You are logged out.")


async def _without_cookie(words: str) -> ResponseReturnValue:
    kept.forget()
    await flash(words, "info")
    response = redirect(safe_target(request.args.get("next")), 303)
    delete_cookie(response)
    return response


@accounts.route("/reauthenticate", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/reauthenticate.html", OwnPassword)
async def reauthenticate(data: OwnPassword) -> ResponseReturnValue:
    """Ask for the password again, and go on to the page that requires it."""
    await sessions.reauthenticate(identity(), data.password.get_secret_value(), client())
    await flash("Thank you. You can carry on now.", "success")
    return redirect(safe_target(request.args.get("next")), 303)


async def _own_name() -> dict[str, Any]:
    return {
        "account": identity(),
        "first_name": identity().first_name,
        "last_name": identity().last_name,
    }


@accounts.route("/manage", methods=BOTH)
@accounts.route("/manage/info", methods=BOTH, endpoint="manage_info")
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/manage.html", FullName, _own_name)
async def manage(data: FullName) -> ResponseReturnValue:
    """Show the user's account, and change their name."""
    async with db.transaction() as session:
        await service.rename_user(session, identity(), data)
    await flash("Your name has been saved.", "success")
    return redirect(url_for("accounts.manage"), 303)


@accounts.route("/manage/change-password", methods=BOTH)
@before_password_change
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/change_password.html", PasswordChangeForm)
async def change_password(data: PasswordChangeForm) -> ResponseReturnValue:
    """Change the password. Other sessions end; this one continues with a new secret."""
    begun = await passwords.change(identity(), data, client())
    await flash("Your password has been changed. All other sessions have ended.", "success")
    response = redirect(url_for("accounts.manage"), 303)
    set_cookie(response, begun.secret, remember=begun.remember)
    return response


@accounts.route("/manage/change-email", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/change_email.html", EmailChange)
async def change_email(data: EmailChange) -> ResponseReturnValue:
    """Request another email address, which has to be confirmed.

    The answer is the same whether or not that address has an account.
    """
    await email_change.request(identity(), data, client())
    words = (
        f"Almost done: open the link in the email we sent to {data.email}. Until then your address "
        f"is still {identity().email}."
    )
    await flash(words, "success")
    return redirect(url_for("accounts.manage"), 303)


@accounts.get("/sessions")
@signed_in
@limit("PAGE_LIMIT")
async def list_sessions() -> str:
    """List the user's sessions."""
    async with db.session() as session:
        rows = await sessions.list_credentials(session, identity().user_id, Purpose.SESSION)
    listed = await asyncio.to_thread(SessionRows.of, rows, identity())
    return await render_template("accounts/sessions.html", sessions=listed.items)


@accounts.post("/sessions/<uuid:session_id>/end")
@signed_in
@limit("PAGE_LIMIT")
async def end_session(session_id: UUID) -> ResponseReturnValue:
    """End one of the user's sessions."""
    async with db.transaction() as session:
        await sessions.end_credential(session, identity().subject, session_id, Purpose.SESSION)
    if session_id == identity().credential_id:
        return await _without_cookie("You are logged out.")
    await flash("That session has ended.", "success")
    return redirect(url_for("accounts.list_sessions"), 303)


@accounts.post("/sessions/end-others")
@signed_in
@limit("PAGE_LIMIT")
async def end_other_sessions() -> ResponseReturnValue:
    """End all of the user's sessions except this one."""
    async with db.transaction() as session:
        await sessions.end_other_sessions(session, identity(), client().device)
    await flash("All other sessions have ended.", "success")
    return redirect(url_for("accounts.list_sessions"), 303)


@accounts.get("/data")
@reauthenticated
@limit("PAGE_LIMIT")
async def download_data() -> Response:
    """Download everything that is stored about the user, as a JSON file."""
    async with db.session() as session:
        response = jsonify(await personal_data.export_data(session, identity()))
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response


@accounts.route("/delete", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/delete.html", OwnPassword)
async def delete_account(data: OwnPassword) -> ResponseReturnValue:
    """Delete the user's account and everything that belongs to it."""
    await service.delete_account(identity(), data.password.get_secret_value(), client())
    return await _without_cookie("Your account has been deleted.")
