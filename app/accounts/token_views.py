"""The page of a user's API tokens."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from quart import ResponseReturnValue, flash, redirect, render_template, url_for

from app.accounts import tokens
from app.accounts.token_schemas import DAYS, TokenForm, TokensOut
from app.accounts.views import BOTH, accounts
from app.auth.scopes import LABELS, Scope
from app.database import db
from app.mail.message import link
from app.web.access import confirmed, limit, reauthenticated, session_only, signed_in
from app.web.forms import form
from app.web.identity import identity


async def _tokens() -> dict[str, Any]:
    async with db.session() as session:
        rows = await tokens.list_tokens(session, identity())
    listed = await asyncio.to_thread(TokensOut.of, rows)
    scopes = [s for s in Scope if s is not Scope.ADMINISTER or identity().is_admin]
    return {
        "tokens": listed.items,
        "options": {
            "scopes": [(scope, LABELS[scope]) for scope in scopes],
            "expires_in_days": [(str(days), f"{days} days") for days in DAYS],
        },
        "scopes": {Scope.READ},
        "expires_in_days": 30,
        "form_id": uuid4(),
    }


@accounts.route("/tokens", methods=BOTH)
@reauthenticated
@confirmed
@limit("PAGE_LIMIT")
@form("accounts/tokens.html", TokenForm, _tokens)
async def manage_tokens(data: TokenForm) -> ResponseReturnValue:
    """List the user's API tokens, and make one. The answer shows its secret, once.

    Reloading the answer posts the form again, which makes no second token.
    """
    try:
        made = await tokens.make_token(identity(), data, form_id=data.form_id)
    except tokens.AlreadyMade as error:
        await flash(error.message, "warning")
        return redirect(url_for("accounts.manage_tokens"), 303)
    page = await render_template(
        "accounts/token_made.html",
        token=made.row,
        secret=made.secret,
        url=link("accounts_api.get_account"),
    )
    return page, 200, {"Cache-Control": "no-store"}


@accounts.post("/tokens/<uuid:token_id>/end")
@session_only
@signed_in
@limit("PAGE_LIMIT")
async def end_token(token_id: UUID) -> ResponseReturnValue:
    """End one of the user's API tokens."""
    async with db.transaction() as session:
        await tokens.end_token(session, identity(), token_id)
    await flash("That token has ended.", "success")
    return redirect(url_for("accounts.manage_tokens"), 303)
