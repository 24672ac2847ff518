"""Send a mail to an SMTP server, and tell from its reply whether a retry may succeed."""

import re
from contextlib import suppress
from email.message import EmailMessage
from urllib.parse import urlsplit

import aiosmtplib
from email_validator import validate_email

from app.config import Config, settings
from app.mail.message import MailFailed, MailRefused
from app.validators.senders import CONTROL

# Replies that concern our configuration rather than the mail: log in first, use TLS first.
CONFIGURATION_CODES = (530, 534, 535, 538)
# A refusal at the greeting is not among them: it concerns this machine.
ABOUT_THE_MAIL = (
    aiosmtplib.SMTPSenderRefused,
    aiosmtplib.SMTPRecipientRefused,
    aiosmtplib.SMTPDataError,
)
SHOWN = 200  # characters of a server's reply


async def send(message: EmailMessage, to: str) -> None:
    """Send a message to one recipient. Raises `MailFailed` or `MailRefused`."""
    found = validate_email(to, check_deliverability=False, globally_deliverable=False)
    to = f"{found.local_part}@{found.ascii_domain}"  # a form that every server understands
    message.replace_header("To", to)
    client = connection(settings)
    try:
        await client.connect()
        await client.send_message(message, recipients=[to])
        # The server has accepted the mail: no later error may cause a retry.
        with suppress(aiosmtplib.SMTPException):
            await client.quit(timeout=1)
    except (aiosmtplib.SMTPException, OSError) as error:
        # The original error may hold what was sent, the password included.
        raise explained(error, settings) from None
    finally:
        client.close()


def connection(
    settings: Config, *, timeout: float | None = None, start: bool = True
) -> aiosmtplib.SMTP:
    """Return a client that is not connected yet. Without `start` it stops before TLS and log-in.

    `timeout` is in seconds and for each response; the default is MAIL_TIMEOUT.
    """
    return aiosmtplib.SMTP(
        hostname=settings.MAIL_SERVER,
        port=settings.MAIL_PORT,
        # Without a name DNS would be asked for one, which may take long.
        local_hostname=urlsplit(settings.BASE_URL).hostname,
        username=settings.MAIL_USERNAME if start else None,
        password=settings.MAIL_PASSWORD if start else None,
        timeout=timeout or settings.MAIL_TIMEOUT,
        use_tls=settings.MAIL_USE_SSL,
        start_tls=start and settings.MAIL_USE_TLS and not settings.MAIL_USE_SSL,
    )


def explained(error: Exception, settings: Config) -> Exception:
    """Return the error to raise for one of the library, in words that show no password."""
    server = f"The SMTP server {settings.MAIL_SERVER}:{settings.MAIL_PORT}"
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        # Only the code: some servers repeat the password.
        return MailFailed(
            f"{server} does not accept MAIL_USERNAME and MAIL_PASSWORD ({error.code})."
        )
    if type(error) is aiosmtplib.SMTPResponseException:
        return MailFailed(f"{server} sent an unexpected reply ({error.code}).")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        # A reply to the greeting, the sender, the recipient or the data.
        if (
            isinstance(error, ABOUT_THE_MAIL)
            and 500 <= error.code < 600
            and error.code not in CONFIGURATION_CODES
        ):
            return MailRefused(
                f"{server} refused the mail: {error.code} {_one_line(error.message, settings)}"
            )
        return MailFailed(
            f"{server} does not accept the mail now: {error.code} "
            f"{_one_line(error.message, settings)}"
        )
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return MailRefused(
            f"{server} does not support email addresses with characters beyond ASCII."
        )
    if isinstance(error, TimeoutError):
        return MailFailed(f"{server} did not answer within {settings.MAIL_TIMEOUT:g} seconds.")
    return MailFailed(f"{server} cannot be used: {_one_line(str(error), settings)}")


def _one_line(answer: str, settings: Config) -> str:
    # Servers quote what they refuse, and that may be a mailed link.
    first = re.sub(rf"{re.escape(settings.BASE_URL)}\S*", "[link]", answer.partition("\n")[0])
    return CONTROL.sub("", first)[:SHOWN]
