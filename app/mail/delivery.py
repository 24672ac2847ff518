"""Delivering a mail: to the SMTP server that is configured, or into the development mailbox."""

from quart import current_app

from app.config import settings
from app.mail import smtp
from app.mail.message import Email, MailFailed, compose


async def deliver(email: Email) -> None:
    """Render a mail and hand it on. Call it outside any transaction.

    Raises `MailRefused` where trying again is of no use, `MailFailed` where it is.
    """
    message = await compose(email)
    if settings.MAIL_SERVER:
        await smtp.send(message, email.to)
    elif capture := current_app.extensions.get("capture_email"):
        await capture(message)
    else:
        raise MailFailed(
            "MAIL_SERVER is not set: no mail leaves. Set it and restart the worker; this mail "
            "waits."
        )
