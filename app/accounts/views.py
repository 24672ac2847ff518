"""The pages of one's own account."""

import asyncio
from functools import partial
from typing import Any
from urllib.parse import urlsplit
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

from app.accounts import email_change, links, passwords, registration, service
from app.accounts.schemas import (
    AcceptanceForm,
    EmailChange,
    FullName,
    LogIn,
    NewPasswordForm,
    OwnPassword,
    PasswordChangeForm,
    RegistrationForm,
    ResetRequest,
    SessionRows,
)
from app.auth import sessions
from app.auth.models import Purpose
from app.database import db
from app.web import bodies
from app.web.access import anonymous_only, home_url, limit, public, reauthenticated, signed_in
from app.web.forms import form
from app.web.identity import client, cookie, delete_cookie, identity, set_cookie, shown_secrets

accounts = Blueprint("accounts", __name__, url_prefix="/account", template_folder="templates")
bodies.bound_forms(accounts)

BOTH = ["GET", "POST"]


async def _link(purpose: Purpose, token: str) -> dict[str, Any]:
    """What the page of a mailed link is about. Raises `LinkExpired`."""
    async with db.session() as session:
        return {"link": await links.read_link(session, token, purpose)}


@accounts.route("/login", methods=BOTH)
@anonymous_only
@limit("PAGE_LIMIT")
@form("accounts/login.html", LogIn)
async def login(data: LogIn) -> ResponseReturnValue:
    """Log in, then go on to where one was sent from."""
    verified = await sessions.authenticate(data.email, data.password.get_secret_value(), client())
    async with db.transaction() as session:
        begun = await sessions.start_session(
            session, verified, client(), remember=data.remember_me, replaces=cookie()
        )
    response = redirect(safe_target(request.args.get("next")), 303)
    set_cookie(response, begun.secret, remember=begun.remember)
    return response


@accounts.route("/register", methods=BOTH)
@anonymous_only
@limit("PAGE_LIMIT")
@form("accounts/register.html", RegistrationForm)
async def register(data: RegistrationForm) -> ResponseReturnValue:
    """Register. Everybody gets the same answer, whether or not the address has an account."""
    password_hash = await registration.admit(data, client())
    async with db.transaction() as session:
        await registration.register_user(session, data, password_hash)
    await flash(f"Almost done: open the link in the mail to {data.email}.", "success")
    return redirect(url_for("accounts.login"), 303)


@accounts.get("/unconfirmed")
@signed_in
@limit("PAGE_LIMIT")
async def unconfirmed() -> ResponseReturnValue:
    """Where somebody is kept who has not confirmed their address."""
    if identity().confirmed:
        return redirect(home_url(), 303)
    return await render_template("accounts/unconfirmed.html")


@accounts.route("/confirm-account", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
async def send_confirmation_again() -> ResponseReturnValue:
    """Mail the link once more."""
    if request.method == "POST" and not identity().confirmed:
        await registration.admit_sending_again(identity())
        async with db.transaction() as session:
            await registration.send_again(session, identity())
        await flash(f"We have sent another mail to {identity().email}.", "success")
    return redirect(url_for("accounts.unconfirmed"), 303)


@accounts.route("/confirm-account/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
async def confirm_account(token: str) -> ResponseReturnValue:
    """What a mailed link shows: a button, which alone confirms.

    Programs that look at links press none.
    """
    if request.method != "POST":
        return await render_template(
            "accounts/confirm_account.html", **await _link(Purpose.CONFIRM, token)
        )
    async with db.transaction() as session:
        user_id = await registration.confirm(session, token)
    await flash("Your address is confirmed.", "success")
    return redirect(home_url() if identity().user_id == user_id else url_for("accounts.login"), 303)


@accounts.route("/reset-password", methods=BOTH)
@anonymous_only
@limit("PAGE_LIMIT")
@form("accounts/reset_password.html", ResetRequest)
async def reset_password(data: ResetRequest) -> ResponseReturnValue:
    """Have a link mailed that sets a new password.

    Everybody gets the same answer, as when registering.
    """
    await passwords.admit_reset(data.email, client())
    async with db.transaction() as session:
        await passwords.request_reset(session, data.email)
    await flash(
        f"A mail with a link is on its way to {data.email}, if that has an account.", "success"
    )
    return redirect(url_for("accounts.login"), 303)


@accounts.route("/reset-password/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
@form("accounts/set_password.html", NewPasswordForm, partial(_link, Purpose.RESET))
async def set_password(data: NewPasswordForm, token: str) -> ResponseReturnValue:
    """Set a new password, by a mailed link."""
    password, words = (
        data.new_password.get_secret_value(),
        "You have a new password: log in with it.",
    )
    return await _set_by_link(token, Purpose.RESET, password, "new_password", words)


@accounts.route("/join-from-invite/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
@form("accounts/join_from_invite.html", AcceptanceForm, partial(_link, Purpose.INVITE))
async def join_from_invite(data: AcceptanceForm, token: str) -> ResponseReturnValue:
    """Accept an invitation: choose a password, and the address is confirmed with it."""
    password = data.password.get_secret_value()
    return await _set_by_link(
        token, Purpose.INVITE, password, "password", "Welcome! Log in with your new password."
    )


async def _set_by_link(
    token: str, purpose: Purpose, password: str, field: str, words: str
) -> ResponseReturnValue:
    password_hash = await passwords.admit_by_link(token, purpose, password, field, client())
    async with db.transaction() as session:
        await passwords.set_by_link(session, token, purpose, password_hash)
    await flash(words, "success")
    return redirect(url_for("accounts.login"), 303)


@accounts.post("/logout")
@signed_in
@limit("PAGE_LIMIT")
async def logout() -> ResponseReturnValue:
    """Log out here; other sessions go on."""
    async with db.transaction() as session:
        for secret in shown_secrets():
            await sessions.end_session(session, secret)
    return await _gone("You are logged out.")


async def _gone(words: str) -> ResponseReturnValue:
    await flash(words, "info")
    response = redirect(home_url(), 303)
    delete_cookie(response)
    return response


@accounts.route("/reauthenticate", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/reauthenticate.html", OwnPassword)
async def reauthenticate(data: OwnPassword) -> ResponseReturnValue:
    """Show one's password once more, then go on to what asked for it."""
    await sessions.require_password(identity(), data.password.get_secret_value(), client())
    async with db.transaction() as session:
        await sessions.mark_reauthenticated(session, identity())
    await flash("Thank you. Now go on.", "success")
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
    """What is known about oneself, and one's name to change."""
    async with db.transaction() as session:
        await service.rename_user(session, identity(), data)
    await flash("Your name is saved.", "success")
    return redirect(url_for("accounts.manage"), 303)


@accounts.route("/manage/change-password", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/change_password.html", PasswordChangeForm)
async def change_password(data: PasswordChangeForm) -> ResponseReturnValue:
    """Choose another password. Other sessions end; this one goes on with a new secret."""
    verified, password_hash = await passwords.admit_change(identity(), data, client())
    async with db.transaction() as session:
        begun = await passwords.change_password(
            session, identity(), verified, password_hash, client()
        )
    await flash("Your password is changed. All other sessions have ended.", "success")
    response = redirect(url_for("accounts.manage"), 303)
    set_cookie(response, begun.secret, remember=begun.remember)
    return response


@accounts.route("/manage/change-email", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/change_email.html", EmailChange)
async def change_email(data: EmailChange) -> ResponseReturnValue:
    """Ask for another address; it has to be confirmed.

    Nobody learns whether it has an account already.
    """
    verified = await email_change.admit(identity(), data, client())
    async with db.transaction() as session:
        await email_change.request_change(session, verified, data.email)
    words = (
        f"Almost done: open the link in the mail to {data.email}. Until then your address stays "
        f"{identity().email}."
    )
    await flash(words, "success")
    return redirect(url_for("accounts.manage"), 303)


@accounts.route("/manage/change-email/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
async def confirm_change_of_email(token: str) -> ResponseReturnValue:
    """What the link to the new address shows: a button, which alone changes it."""
    if request.method != "POST":
        return await render_template(
            "accounts/confirm_change_of_email.html", **await _link(Purpose.CHANGE_EMAIL, token)
        )
    async with db.transaction() as session:
        user_id = await email_change.confirm(session, token)
        renewed = await sessions.renew_session(session, identity(), user_id, client())
    await flash("Your address is changed. Everywhere else you are logged out.", "success")
    response = redirect(url_for("accounts.manage" if renewed else "accounts.login"), 303)
    if renewed:
        set_cookie(response, renewed.secret, remember=renewed.remember)
    return response


@accounts.route("/keep-email/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
async def keep_email(token: str) -> ResponseReturnValue:
    """What the notice to the former address links to.

    A button that keeps it, and leads to a new password.
    """
    if request.method != "POST":
        return await render_template(
            "accounts/keep_email.html", **await _link(Purpose.OBJECT, token)
        )
    async with db.transaction() as session:
        secret = await email_change.revert_email_change(session, token)
    await flash(
        "Your account keeps its address, and everybody is logged out of it. Now choose a new "
        "password.",
        "warning",
    )
    return redirect(url_for("accounts.set_password", token=secret), 303)


@accounts.get("/sessions")
@signed_in
@limit("PAGE_LIMIT")
async def list_sessions() -> str:
    """Where one is logged in."""
    async with db.session() as session:
        rows = await sessions.list_credentials(session, identity(), Purpose.SESSION)
    listed = await asyncio.to_thread(SessionRows.of, rows, identity())
    return await render_template("accounts/sessions.html", sessions=listed.items)


@accounts.post("/sessions/<uuid:session_id>/end")
@signed_in
@limit("PAGE_LIMIT")
async def end_session(session_id: UUID) -> ResponseReturnValue:
    """End one of one's sessions."""
    async with db.transaction() as session:
        await sessions.end_credential(session, identity(), Purpose.SESSION, session_id)
    if session_id == identity().credential_id:
        return await _gone("You are logged out.")
    await flash("That session has ended.", "success")
    return redirect(url_for("accounts.list_sessions"), 303)


@accounts.post("/sessions/end-others")
@signed_in
@limit("PAGE_LIMIT")
async def end_other_sessions() -> ResponseReturnValue:
    """End every session but this one."""
    async with db.transaction() as session:
        await sessions.end_other_sessions(session, identity())
    await flash("All other sessions have ended.", "success")
    return redirect(url_for("accounts.list_sessions"), 303)


@accounts.get("/data")
@reauthenticated
@limit("PAGE_LIMIT")
async def download_data() -> Response:
    """All that is stored about oneself, as a file of JSON."""
    async with db.session() as session:
        response = jsonify(await service.export_data(session, identity()))
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response


@accounts.route("/delete", methods=BOTH)
@signed_in
@limit("PAGE_LIMIT")
@form("accounts/delete.html", OwnPassword)
async def delete_account(data: OwnPassword) -> ResponseReturnValue:
    """Delete one's account with all that belongs to it."""
    await sessions.require_password(identity(), data.password.get_secret_value(), client())
    async with db.transaction() as session:
        await service.delete_account(session, identity())
    return await _gone("Your account is deleted.")


def safe_target(target: str | None) -> str:
    """Where to go after logging in: a path of this site, or the home page.

    Browsers read `//host`, `/\\host` and addresses with control characters in them as other sites.
    """
    home = home_url()
    if not target or not target.startswith("/") or any(ord(c) < 0x21 or c == "\\" for c in target):
        return home
    try:
        parts = urlsplit(target)
    except ValueError:
        return home
    return home if parts.scheme or parts.netloc or target.startswith("//") else target
