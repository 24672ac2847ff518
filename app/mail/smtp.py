"""Delivering a mail to an SMTP server, and what its answers mean."""

import re
from contextlib import suppress
from email.message import EmailMessage
from urllib.parse import urlsplit

import aiosmtplib
from email_validator import validate_email

from app.config import settings
from app.mail.message import CONTROL, MailFailed, MailRefused

# Answers about our configuration rather than a mail: log in first, use TLS first.
ABOUT_US = (530, 534, 535, 538)
# At the greeting a refusal is about this machine.
ABOUT_THE_MAIL = (
    aiosmtplib.SMTPSenderRefused,
    aiosmtplib.SMTPRecipientRefused,
    aiosmtplib.SMTPDataError,
)
SHOWN = 200  # characters of what a server answers


async def send(message: EmailMessage, to: str) -> None:
    """Deliver a message to one recipient. Raises `MailFailed` or `MailRefused`."""
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
