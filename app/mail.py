"""Mail.

What is said to whom, and the two ways it goes: to an SMTP server, or into development's mailbox.
"""

import asyncio
import hashlib
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiosmtplib
from email_validator import validate_email
from quart import current_app, url_for

from app import addresses
from app.config import Config, settings
from app.jobs.current import GiveUp, current

# What ends a line, or means something else to a server, has no place in a header.
# "=?" begins an encoded word, which may hold any of that.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|=\\?")
ABOUT_US = (
    530,
    534,
    535,
    538,
)  # answers about our configuration rather than a mail: log in first, use TLS first
# At the greeting a refusal is about this machine.
ABOUT_THE_MAIL = (
    aiosmtplib.SMTPSenderRefused,
    aiosmtplib.SMTPRecipientRefused,
    aiosmtplib.SMTPDataError,
)
SHOWN = 200  # characters of what a server answers
KEPT = 500  # mails in the mailbox: a run of any test suite, and soon read


class MailFailed(Exception):
    """The mail has not left, and may another time."""


class MailRefused(GiveUp):
    """The mail will never be taken."""


class Email:
    """A mail to one person: pure, nothing is rendered yet.

    `Email(to=user.email, subject="…", template="accounts/email/confirmation", user=user,
    link=link)` renders `accounts/email/confirmation.txt` and `.html` with `user` and `link`. Raises
    `GiveUp` for an address or a subject that would add headers or recipients.
    """

    def __init__(self, *, to: str, subject: str, template: str, **context: object) -> None:
        if CONTROL.search(to + subject):
            raise GiveUp("A mail's address or subject holds control characters.")
        try:
            self.to = addresses.email(to)
        except ValueError as error:
            raise GiveUp(f"A mail's recipient is {error}.") from None
        self.subject, self.template, self.context = subject, template, context


def link(endpoint: str, **values: Any) -> str:
    """The absolute address of a page. It starts with BASE_URL, whatever a request's Host says."""
    return settings.BASE_URL + url_for(endpoint, _external=False, **values)


async def deliver(email: Email) -> None:
    """Render a mail and hand it on, outside any transaction.

    Raises `MailRefused` where trying again is of no use, `MailFailed` where it is.
    """
    message = await compose(email)
    if settings.MAIL_SERVER:
        await _send(message, email.to)
    elif settings.DEBUG or settings.TESTING:
        content = message.as_bytes(policy=policy.default.clone(utf8=True))
        await asyncio.to_thread(_catch, content, settings)
    else:
        raise MailFailed(
            "MAIL_SERVER is not set: no mail leaves. Set it and restart the worker; this mail "
            "waits."
        )


async def compose(email: Email) -> EmailMessage:
    """The message itself.

    Run again, a job gives it the same Message-ID, by which receivers know a duplicate.
    """
    job = current.get()
    digest = hashlib.sha256(f"{email.to}\n{email.subject}".encode()).hexdigest()[:12]
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = _sender()
    message["To"] = email.to
    message["Subject"] = f"[{settings.APP_NAME}] {email.subject}"
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = (
        f"<{job.id if job else uuid4()}.{digest}@{urlsplit(settings.BASE_URL).hostname}>"
    )
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(await _render(email, "txt"))
    message.add_alternative(await _render(email, "html"), subtype="html")
    return message


async def _render(email: Email, kind: str) -> str:
    # Not render_template: its context is that of pages, which need a request.
    template = current_app.jinja_env.get_template(f"{email.template}.{kind}")
    common = {
        "app_name": settings.APP_NAME,
        "base_url": settings.BASE_URL,
        "subject": email.subject,
    }
    return await template.render_async(email.context | common)


def _sender() -> Address:
    configured = settings.MAIL_DEFAULT_SENDER or settings.ADMIN_EMAIL
    name, address = parseaddr(configured)
    if CONTROL.search(configured + settings.APP_NAME):
        raise MailFailed("APP_NAME or MAIL_DEFAULT_SENDER holds control characters.")
    try:
        return Address(name or settings.APP_NAME, addr_spec=address)
    except (ValueError, IndexError, MessageError):
        raise MailFailed(
            f"MAIL_DEFAULT_SENDER takes an address, or Name <address>; it got {configured!r}."
        ) from None


async def _send(message: EmailMessage, to: str) -> None:
    found = validate_email(to, check_deliverability=False, globally_deliverable=False)
    to = f"{found.local_part}@{found.ascii_domain}"  # which every server understands
    message.replace_header("To", to)
    client = aiosmtplib.SMTP(
        hostname=settings.MAIL_SERVER,
        port=settings.MAIL_PORT,
        local_hostname=urlsplit(
            settings.BASE_URL
        ).hostname,  # else the DNS is asked, for however long that takes
        username=settings.MAIL_USERNAME,
        password=settings.MAIL_PASSWORD,
        timeout=settings.MAIL_TIMEOUT,
        use_tls=settings.MAIL_USE_SSL,
        start_tls=settings.MAIL_USE_TLS and not settings.MAIL_USE_SSL,
    )
    try:
        await client.connect()
        await client.send_message(message, recipients=[to])
        with suppress(
            aiosmtplib.SMTPException
        ):  # it is taken: nothing that happens now may send it again
            await client.quit(timeout=1)
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _explained(
            error
        ) from None  # the original may hold what was sent, the password included
    finally:
        client.close()


def _explained(error: Exception) -> Exception:
    server = f"The SMTP server {settings.MAIL_SERVER}:{settings.MAIL_PORT}"
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(
        error, aiosmtplib.SMTPAuthenticationError
    ):  # some servers repeat what they got: only the code
        return MailFailed(
            f"{server} does not accept MAIL_USERNAME and MAIL_PASSWORD ({error.code})."
        )
    if type(error) is aiosmtplib.SMTPResponseException:
        return MailFailed(f"{server} gave an unexpected answer ({error.code}).")
    if isinstance(
        error, aiosmtplib.SMTPResponseException
    ):  # to the connection, the sender, the recipient or the data
        if (
            isinstance(error, ABOUT_THE_MAIL)
            and 500 <= error.code < 600
            and error.code not in ABOUT_US
        ):
            return MailRefused(
                f"{server} refused the mail: {error.code} {_one_line(error.message)}"
            )
        return MailFailed(
            f"{server} does not take the mail now: {error.code} {_one_line(error.message)}"
        )
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return MailRefused(f"{server} takes no addresses with letters beyond ASCII.")
    if isinstance(error, TimeoutError):
        return MailFailed(f"{server} did not answer within {settings.MAIL_TIMEOUT:g} seconds.")
    return MailFailed(f"{server} cannot be used: {_one_line(str(error))}")


def _one_line(answer: str) -> str:
    # Servers quote what they dislike, mailed links too.
    first = re.sub(rf"{re.escape(settings.BASE_URL)}\S*", "[link]", answer.partition("\n")[0])
    return CONTROL.sub("", first)[:SHOWN]


@dataclass(frozen=True, slots=True)
class Caught:
    """A mail in the mailbox. `at` is in this machine's time."""

    name: str
    at: datetime
    sender: str
    to: list[str]
    subject: str
    text: str
    html: str


def caught(settings: Config, name: str | None = None) -> list[Caught]:
    """What is in the mailbox, newest first, or the mail of this name alone.

    Reads files: not for the event loop.
    """
    mails = []
    for path in sorted((settings.INSTANCE_PATH / "mail").glob("*.eml"), reverse=True):
        if name in (None, path.stem):
            with suppress(FileNotFoundError):  # another process has just made room
                mails.append(_read(path))
    return mails


@lru_cache(KEPT)  # parsing costs 5 ms, and a file never changes
def _read(path: Path) -> Caught:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    sender, to, subject = (str(message[header]) for header in ("From", "To", "Subject"))
    text, html = (part.get_content() for part in message.iter_parts())
    at = datetime.fromtimestamp(int(path.stem.partition("-")[0]) / 1e9, UTC).astimezone()
    return Caught(path.stem, at, sender, [to], subject, text, html)


def _catch(content: bytes, settings: Config) -> None:
    # Files, since web and worker are separate processes.
    folder = settings.INSTANCE_PATH / "mail"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{time.time_ns()}-{secrets.token_hex(4)}.eml"
    draft = path.with_suffix(".part")
    draft.write_bytes(content)
    draft.replace(path)
    for old in sorted(folder.glob("*.eml"))[:-KEPT]:
        old.unlink(missing_ok=True)
