"""The pages that mailed links open: each shows what will happen, and only its button acts."""

from functools import partial
from typing import Any

from quart import ResponseReturnValue, flash, redirect, render_template, request, url_for

from app.accounts import confirmation, email_change, links, passwords, service
from app.accounts.schemas import AcceptanceForm, NewPasswordForm, SetUpForm, ShownPassword
from app.accounts.views import BOTH, accounts, logged_in
from app.auth.models import Purpose
from app.database import db
from app.web.access import limit, public
from app.web.destinations import home_url
from app.web.forms import form
from app.web.identity import client, client_to_remember, identity, shown_secrets


async def _link(purpose: Purpose, token: str) -> dict[str, Any]:
    """Return what the page of a mailed link shows. Raises `LinkExpired`."""
    async with db.session() as session:
        return {"link": await links.read_link(session, token, purpose)}


async def _confirmation(token: str) -> dict[str, Any]:
    """Return what the page of a confirmation link shows. Raises `LinkExpired`."""
    async with db.session() as session:
        asked = await confirmation.look(session, token, identity(), client())
    return {"link": asked.link, "proof": asked.proof, "token": token}


async def _objection(token: str) -> dict[str, Any]:
    """Return what the page of an objection shows: who has the account now. Raises `LinkExpired`."""
    async with db.session() as session:
        link = await links.read_link(session, token, Purpose.OBJECT)
        user = await service.get_user(session, link.user_id)
    return {"link": link, "present": user.email}


@accounts.route("/confirm-account/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
@form("accounts/confirm_account.html", ShownPassword, _confirmation)
async def confirm_account(data: ShownPassword, token: str) -> ResponseReturnValue:
    """Show a button that confirms the address, and confirm it when it is pressed.

    Opening the link is not enough, since mail scanners do that as well. On another device the page
    asks for the password too.
    """
    begun = await confirmation.confirm(
        token, data.typed, identity(), client_to_remember(), replaces=shown_secrets()
    )
    await flash("Your email address is confirmed.", "success")
    return await logged_in(begun, home_url()) if begun else redirect(home_url(), 303)


@accounts.route("/set-up/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
@form("accounts/set_up.html", SetUpForm, partial(_link, Purpose.CONFIRM))
async def set_up(data: SetUpForm, token: str) -> ResponseReturnValue:
    """Choose a name and a password for an address, whoever may have registered it."""
    begun = await confirmation.set_up(token, data, client_to_remember(), replaces=shown_secrets())
    await flash("Welcome! Your account is ready.", "success")
    return await logged_in(begun, home_url())


@accounts.route("/reset-password/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
@form("accounts/set_password.html", NewPasswordForm, partial(_link, Purpose.RESET))
async def set_password(data: NewPasswordForm, token: str) -> ResponseReturnValue:
    """Set a new password with a mailed link."""
    password = data.new_password.get_secret_value()
    user_id = await passwords.set_by_link(
        token, Purpose.RESET, password, client_to_remember(), field="new_password"
    )
    return await _log_in_next(user_id, "Your password has been reset.", "Log in with the new one.")


async def _log_in_next(user_id: int, done: str, words: str) -> ResponseReturnValue:
    """Go on to the log-in page, unless somebody else is logged in: they are told that they are."""
    who = identity()
    if who.is_authenticated and who.user_id != user_id:
        await flash(f"{done} You are still logged in as {who.email}.", "success")
        return redirect(home_url(), 303)
    await flash(f"{done} {words}", "success")
    return redirect(url_for("accounts.login"), 303)


@accounts.route("/join-from-invite/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
@form("accounts/join_from_invite.html", AcceptanceForm, partial(_link, Purpose.INVITE))
async def join_from_invite(data: AcceptanceForm, token: str) -> ResponseReturnValue:
    """Accept an invitation by choosing a password, which confirms the address as well."""
    password = data.password.get_secret_value()
    user_id = await passwords.set_by_link(
        token, Purpose.INVITE, password, client_to_remember(), field="password"
    )
    return await _log_in_next(user_id, "Welcome!", "Log in with your new password.")


@accounts.route("/manage/change-email/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
@form("accounts/confirm_change_of_email.html", ShownPassword, partial(_link, Purpose.CHANGE_EMAIL))
async def confirm_change_of_email(data: ShownPassword, token: str) -> ResponseReturnValue:
    """Show a button that changes the address, and change it when it is pressed.

    Whoever is not signed in to the account types its password.
    """
    begun = await email_change.confirm(
        token, data.typed, identity(), client_to_remember(), replaces=shown_secrets()
    )
    await flash("Your email address has been changed. All other sessions have ended.", "success")
    manage = url_for("accounts.manage")
    return await logged_in(begun, manage) if begun else redirect(manage, 303)


@accounts.route("/keep-email/<token>", methods=BOTH)
@public
@limit("PAGE_LIMIT")
async def keep_email(token: str) -> ResponseReturnValue:
    """Show a button that keeps the previous address, and when it is pressed ask for a new password.

    The notice that was mailed to the previous address links to it.
    """
    if request.method != "POST":
        return await render_template("accounts/keep_email.html", **await _objection(token))
    async with db.transaction() as session:
        secret = await email_change.revert_email_change(session, token)
    words = "The change of your address is cancelled, and everyone is logged out of your account."
    await flash(f"{words} Now choose a new password.", "warning")
    return redirect(url_for("accounts.set_password", token=secret), 303)
