"""Development's mailbox in a browser. create_app registers it in development and testing only.

Nobody is asked who they are: people who have yet to confirm their address are sent away from other
pages.
"""

import asyncio

from quart import Blueprint, Response, ResponseReturnValue, abort, jsonify, render_template

from app.config import settings
from app.mail import Caught, caught
from app.web.access import unidentified, unlimited
from app.web.identity import is_from_this_machine

mailbox = Blueprint("mailbox", __name__)

# A mail brings its own styles along, which a page may not, and nothing else.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@mailbox.before_request
async def only_from_this_machine() -> None:
    """For anybody else there is no such page: mails hold links that log people in."""
    if not is_from_this_machine():
        abort(404)


@mailbox.get("/dev/mail")
@unidentified
@unlimited
async def index() -> str:
    """All mails, the newest first."""
    mails = await asyncio.to_thread(caught, settings)
    return await render_template("site/mailbox.html", mails=mails, mail_server=settings.MAIL_SERVER)


@mailbox.get("/dev/mail.json")
@unidentified
@unlimited
async def as_json() -> ResponseReturnValue:
    """The same for programs."""
    mails = await asyncio.to_thread(caught, settings)
    return jsonify(
        [{"to": m.to, "subject": m.subject, "text": m.text, "html": m.html} for m in mails]
    )


@mailbox.get("/dev/mail/<name>")
@unidentified
@unlimited
async def show(name: str) -> str:
    """One mail, its text with links to click."""
    return await render_template("site/mailbox_mail.html", mail=await _find(name))


@mailbox.get("/dev/mail/<name>/html")
@unidentified
@unlimited
async def html(name: str) -> Response:
    """The HTML of one mail, as a mail reader shows it."""
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response((await _find(name)).html, mimetype="text/html", headers=headers)


async def _find(name: str) -> Caught:
    found = await asyncio.to_thread(caught, settings, name)
    return found[0] if found else abort(404)
