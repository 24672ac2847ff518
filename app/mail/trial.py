"""Talk to the SMTP server without sending anything, to find out why no mail would be sent."""

import asyncio
from contextlib import suppress
from socket import gaierror
from typing import NamedTuple

import aiosmtplib

from app.config import Config
from app.mail.smtp import CONFIGURATION_CODES, connection, explained
from app.validators.senders import sender

PORTS = "usually 587 with MAIL_USE_TLS=true, or 465 with MAIL_USE_SSL=true"
CERTIFICATE = (
    "Set MAIL_SERVER to the name in the server's certificate. To trust a certificate authority of "
    "your own, set SSL_CERT_FILE to its certificate."
)


class Failure(NamedTuple):
    """Why no mail can be sent, and what to do about it."""

    message: str
    hint: str


async def try_out(settings: Config, patience: float) -> Failure | None:
    """Connect to the SMTP server, start TLS, log in and name the sender; then hang up.

    Takes at most `patience` seconds. Returns `None` if the server has accepted it all.
    """
    client = connection(settings, timeout=patience, start=False)
    configured = settings.MAIL_DEFAULT_SENDER or settings.ADMIN_EMAIL
    step = "connect"
    try:
        async with asyncio.timeout(patience):
            await client.connect()
            if settings.MAIL_USE_TLS and not settings.MAIL_USE_SSL:
                step = "start TLS"
                await client.starttls()
            if settings.MAIL_USERNAME:
                step = "log in"
                await client.login(settings.MAIL_USERNAME, settings.MAIL_PASSWORD or "")
            step = "name the sender"
            if configured:
                await client.mail(sender(configured).email)
                await client.rset()
        with suppress(aiosmtplib.SMTPException, OSError):
            await client.quit(timeout=1)
    except (aiosmtplib.SMTPException, OSError) as error:
        return Failure(_message(error, step, settings, patience), _hint(error, step, settings))
    finally:
        client.close()
    return None


def _message(error: Exception, step: str, settings: Config, patience: float) -> str:
    if isinstance(error, TimeoutError):
        return (
            f"The SMTP server {settings.MAIL_SERVER}:{settings.MAIL_PORT} did not let us {step} "
            f"within {patience:g} seconds."
        )
    text = str(explained(error, settings))
    return text if text.endswith(".") else f"{text}."


def _hint(error: Exception, step: str, settings: Config) -> str:
    if "certificate verify failed" in str(error):
        return CERTIFICATE
    if step == "connect":
        return _hint_to_connect(error, settings)
    if step == "start TLS":
        return (
            f"Correct MAIL_PORT ({PORTS}). For a server without TLS in a network that you trust, "
            "set MAIL_USE_TLS=false."
        )
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "Correct MAIL_USERNAME and MAIL_PASSWORD."
    if step == "log in":
        return (
            "Are MAIL_USERNAME and MAIL_PASSWORD right? Some servers delay the answer if not. Many "
            "let nobody log in without TLS: set MAIL_USE_TLS=true. A server that "
            "wants no log-in needs neither MAIL_USERNAME nor MAIL_PASSWORD."
        )
    if getattr(error, "code", 0) in CONFIGURATION_CODES:
        return "The server wants a log-in: set MAIL_USERNAME and MAIL_PASSWORD."
    if isinstance(error, aiosmtplib.SMTPSenderRefused):
        return "Correct MAIL_DEFAULT_SENDER: its domain must be one that this server sends for."
    return f"Correct MAIL_SERVER and MAIL_PORT ({PORTS})."


def _hint_to_connect(error: Exception, settings: Config) -> str:
    if isinstance(error.__cause__, gaierror):
        return "There is no host of this name, or DNS does not answer: correct MAIL_SERVER."
    if settings.MAIL_USE_SSL:
        return (
            f"Correct MAIL_PORT ({PORTS}): a port with STARTTLS, as 587 is, needs "
            "MAIL_USE_SSL=false."
        )
    if isinstance(error, TimeoutError):
        return (
            "Correct MAIL_SERVER and MAIL_PORT, and open the firewall. A port that begins with "
            "TLS, as 465 does, needs MAIL_USE_SSL=true."
        )
    return f"Is the server running? Correct MAIL_SERVER and MAIL_PORT ({PORTS})."
