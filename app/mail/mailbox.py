"""The development mailbox: mail is kept in files instead of being sent, and shown at /dev/mail.

The factory registers it in development and testing only. It answers requests from this machine
alone, since mails hold links that log people in.
"""

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path

from quart import Blueprint, Quart, Response, ResponseReturnValue, abort, jsonify, render_template

from app.auth.identity import Identity
from app.config import Config, settings
from app.web.access import unconfirmed_too, unlimited
from app.web.identity import is_from_this_machine
from app.web.menus import add_entry

KEPT = 500  # mails: more than a run of a test suite sends, and quick to read

# A mail has inline styles, which pages may not have, and nothing else.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

mailbox = Blueprint("mailbox", __name__, template_folder="templates")


def init_app(app: Quart) -> None:
    """Capture mail as long as MAIL_SERVER is not set, and serve the mailbox."""
    app.extensions["capture_email"] = capture
    app.register_blueprint(mailbox)
    add_entry(app, "footer", "Mailbox", "mailbox.index", shown_to=_is_here)


def _is_here(identity: Identity) -> bool:
    return is_from_this_machine()


async def capture(message: EmailMessage) -> None:
    """Write a mail to the mailbox instead of sending it."""
    content = message.as_bytes(policy=policy.default.clone(utf8=True))
    await asyncio.to_thread(_write, content, settings)


@dataclass(frozen=True, slots=True)
class CapturedEmail:
    """A mail in the mailbox. `at` is in this machine's time zone."""

    name: str
    at: datetime
    sender: str
    to: list[str]
    subject: str
    text: str
    html: str


def captured_emails(settings: Config, name: str | None = None) -> list[CapturedEmail]:
    """Return the mails in the mailbox, newest first, or only the one of this name.

    Reads files, so call this in a thread.
    """
    mails = []
    for path in sorted((settings.INSTANCE_PATH / "mail").glob("*.eml"), reverse=True):
        if name in (None, path.stem):
            with suppress(FileNotFoundError):  # another process has just deleted the oldest
                mails.append(_read(path))
    return mails


@lru_cache(KEPT)  # parsing costs 5 ms, and a file never changes
def _read(path: Path) -> CapturedEmail:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    sender, to, subject = (str(message[header]) for header in ("From", "To", "Subject"))
    text, html = (part.get_content() for part in message.iter_parts())
    at = datetime.fromtimestamp(int(path.stem.partition("-")[0]) / 1e9, UTC).astimezone()
    return CapturedEmail(path.stem, at, sender, [to], subject, text, html)


def _write(content: bytes, settings: Config) -> None:
    # In files, since the web server and the worker are separate processes.
    folder = settings.INSTANCE_PATH / "mail"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{time.time_ns()}-{secrets.token_hex(4)}.eml"
    draft = path.with_suffix(".part")
    draft.write_bytes(content)
    draft.replace(path)
    for old in sorted(folder.glob("*.eml"))[:-KEPT]:
        old.unlink(missing_ok=True)


@mailbox.before_request
async def only_from_this_machine() -> None:
    """Answer 404 to requests from elsewhere: mails hold links that log people in."""
    if not is_from_this_machine():
        abort(404)


@mailbox.get("/dev/mail")
@unconfirmed_too
@unlimited
async def index() -> str:
    """List all mails, the newest first."""
    mails = await asyncio.to_thread(captured_emails, settings)
    return await render_template("mail/mailbox.html", mails=mails, mail_server=settings.MAIL_SERVER)


@mailbox.get("/dev/mail.json")
@unconfirmed_too
@unlimited
async def as_json() -> ResponseReturnValue:
    """Return all mails, the newest first, as JSON for tests and scripts."""
    mails = await asyncio.to_thread(captured_emails, settings)
    return jsonify(
        [{"to": m.to, "subject": m.subject, "text": m.text, "html": m.html} for m in mails]
    )


@mailbox.get("/dev/mail/<name>")
@unconfirmed_too
@unlimited
async def show(name: str) -> str:
    """Show the text of a mail, with its links."""
    return await render_template("mail/email.html", mail=await _find(name))


@mailbox.get("/dev/mail/<name>/html")
@unconfirmed_too
@unlimited
async def html(name: str) -> Response:
    """Show the HTML of a mail, as a mail client would."""
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response((await _find(name)).html, mimetype="text/html", headers=headers)


async def _find(name: str) -> CapturedEmail:
    found = await asyncio.to_thread(captured_emails, settings, name)
    return found[0] if found else abort(404)
