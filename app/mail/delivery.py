"""Deliver mail to the configured SMTP server, or into the development mailbox."""

from quart import current_app

from app.config import settings
from app.mail import smtp
from app.mail.message import Email, MailFailed, compose


async def deliver(email: Email) -> None:
    """Render a mail and send it. Call this outside of any transaction: it may take long.

    Raises `MailFailed` if a retry may succeed, `MailRefused` if it cannot.
    """
    capture = current_app.extensions.get("capture_email")
    if settings.MAIL_SERVER:
        await smtp.send(await compose(email), email.to)
    elif capture:
        await capture(await compose(email))
    else:
        raise MailFailed(
            "MAIL_SERVER is not set, so no mail is sent. Set it and restart the worker: this mail "
            "will be retried."
        )
