"""The pages of one's own account."""

from urllib.parse import urlsplit

from quart import Blueprint, ResponseReturnValue, flash, redirect, render_template, request, url_for

from app.accounts import links, registration, sessions
from app.accounts.models import Purpose
from app.accounts.schemas import LogIn, RegistrationForm
from app.database import db
from app.errors import DomainError
from app.web import bodies
from app.web.access import anonymous_only, limit, public, signed_in
from app.web.errors import status_of
from app.web.forms import Form
from app.web.identity import client, cookie, delete_cookie, identity, set_cookie, shown_secrets

accounts = Blueprint("accounts", __name__, url_prefix="/account", template_folder="templates")
bodies.bound_forms(accounts)


@accounts.route("/login", methods=["GET", "POST"])
@anonymous_only
@limit("PAGE_LIMIT")
async def login() -> ResponseReturnValue:
    """Log in, then go on to where one was sent from."""
    form = Form(LogIn)
    if request.method == "POST" and (data := await form.read()):
        try:
            verified = await sessions.authenticate(data.email, data.password.get_secret_value(), client())
            async with db.transaction() as session:
                begun = await sessions.start_session(
                    session, verified, client(), remember=data.remember_me, replaces=cookie()
                )
        except DomainError as error:
            form.refuse(error)
        else:
            response = redirect(safe_target(request.args.get("next")), 303)
            set_cookie(response, begun.secret, remember=begun.remember)
            return response
    return await form.page("accounts/login.html")


@accounts.route("/register", methods=["GET", "POST"])
@anonymous_only
@limit("PAGE_LIMIT")
async def register() -> ResponseReturnValue:
    """Register. Everybody gets the same answer, whether or not the address has an account."""
    form = Form(RegistrationForm)
    if request.method == "POST" and (data := await form.read()):
        try:
            password_hash = await registration.admit(data, client())
            async with db.transaction() as session:
                await registration.register_user(session, data, password_hash)
        except DomainError as error:
            form.refuse(error)
        else:
            await flash(f"Almost done: open the link in the mail to {data.email}", "success")
            return redirect(url_for("accounts.login"), 303)
    return await form.page("accounts/register.html")


@accounts.get("/unconfirmed")
@signed_in
@limit("PAGE_LIMIT")
async def unconfirmed() -> ResponseReturnValue:
    """Where somebody is kept who has not confirmed their address."""
    if identity().confirmed:
        return redirect(url_for("site.home"), 303)
    return await render_template("accounts/unconfirmed.html")


@accounts.route("/confirm-account", methods=["GET", "POST"])
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


@accounts.route("/confirm-account/<token>", methods=["GET", "POST"])
@public
@limit("PAGE_LIMIT")
async def confirm_account(token: str) -> ResponseReturnValue:
    """What a mailed link shows: a button, which alone confirms. Programs that look at links press none."""
    try:
        if request.method != "POST":
            async with db.session() as session:
                link = await links.read_link(session, token, Purpose.CONFIRM)
            return await render_template("accounts/confirm_account.html", link=link)
        async with db.transaction() as session:
            user_id = await registration.confirm(session, token)
    except links.LinkExpired as error:
        return await render_template("accounts/link_expired.html", message=error.message), status_of(error)[0]
    await flash("Your address is confirmed.", "success")
    return redirect(url_for("site.home" if identity().user_id == user_id else "accounts.login"), 303)


@accounts.post("/logout")
@signed_in
@limit("PAGE_LIMIT")
async def logout() -> ResponseReturnValue:
    """Log out here; other sessions go on."""
    async with db.transaction() as session:
        for secret in shown_secrets():
            await sessions.end_session(session, secret)
    await flash("You are logged out.", "info")
    response = redirect(url_for("site.home"), 303)
    delete_cookie(response)
    return response


@accounts.get("/manage")
@accounts.get("/manage/info", endpoint="manage_info")
@signed_in
@limit("PAGE_LIMIT")
async def manage() -> ResponseReturnValue:
    """What is known about oneself."""
    return await render_template("accounts/manage.html", account=identity())


def safe_target(target: str | None) -> str:
    """Where to go after logging in: a path of this site, or the home page.

    Browsers read `//host`, `/\\host` and addresses with control characters in them as other sites.
    """
    home = url_for("site.home")
    if not target or not target.startswith("/") or any(ord(c) < 0x21 or c == "\\" for c in target):
        return home
    try:
        parts = urlsplit(target)
    except ValueError:
        return home
    return home if parts.scheme or parts.netloc or target.startswith("//") else target
