"""A mail as a value, and the message that is composed from it."""

import hashlib
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from quart import current_app, url_for

from app.config import settings
from app.jobs.context import GiveUp, current
from app.validators.email_address import email_address
from app.validators.senders import CONTROL, sender


class MailFailed(Exception):
    """The mail was not sent; a retry may succeed."""


class MailRefused(GiveUp):
    """The mail was refused for good; a retry cannot succeed."""


class Email:
    """A mail to one recipient, whose address is kept as it was typed. Nothing is rendered yet.

    `Email(to=user.recipient, subject="…", template="accounts/email/confirmation", user=user,
    link=link)` will render `accounts/email/confirmation.txt` and `.html` with `user` and `link`.
    Raises `GiveUp` for an email or a subject that would inject headers or recipients.
    """

    def __init__(self, *, to: str, subject: str, template: str, **context: object) -> None:
        if CONTROL.search(to + subject):
            raise GiveUp("A mail's recipient or subject holds control characters.")
        try:
            self.to = email_address(to).as_typed
        except ValueError as error:
            raise GiveUp(f"A mail's recipient is {error}.") from None
        self.subject, self.template, self.context = subject, template, context


def link(endpoint: str, **values: Any) -> str:
    """Return the absolute url of a page. It begins with BASE_URL, whatever the Host header says."""
    return settings.BASE_URL + url_for(endpoint, _external=False, **values)


async def compose(email: Email) -> EmailMessage:
    """Render a mail into a message.

    When a job is retried its mail keeps its Message-ID, by which receivers recognise duplicates.
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
    # Not render_template: its context is that of pages, which needs a request.
    template = current_app.jinja_env.get_template(f"{email.template}.{kind}")
    common = {
        "app_name": settings.APP_NAME,
        "base_url": settings.BASE_URL,
        "subject": email.subject,
    }
    return await template.render_async(email.context | common)


def _sender() -> Address:
    """Return who mail comes from: MAIL_DEFAULT_SENDER, in development ADMIN_EMAIL."""
    configured = settings.MAIL_DEFAULT_SENDER or settings.ADMIN_EMAIL
    if not configured:
        raise MailFailed("MAIL_DEFAULT_SENDER is not set. Set it and restart the worker.")
    if CONTROL.search(settings.APP_NAME):
        raise MailFailed("APP_NAME holds control characters.")
    try:
        found = sender(configured)
    except ValueError as error:
        raise MailFailed(f"MAIL_DEFAULT_SENDER: got {configured!r}, {error}.") from None
    return Address(found.name or settings.APP_NAME, addr_spec=found.email)
