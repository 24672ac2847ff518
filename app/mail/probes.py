"""The probe of outgoing mail."""

from collections.abc import Iterator

from app.config import Config
from app.health.findings import CheckMessage, Outcome, Services
from app.mail.trial import try_out
from app.validators.senders import sender

# https://www.rfc-editor.org/rfc/rfc2606: nobody can receive mail there.
RESERVED = (
    ".example",
    ".invalid",
    ".test",
    ".localhost",
    ".example.com",
    ".example.net",
    ".example.org",
)
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


async def mail(services: Services) -> list[Outcome]:
    """Check that mail can be sent, in a conversation with the server that sends nothing."""
    settings = services.settings
    found = [*_oddities(settings)]
    if settings.MAIL_SERVER and (failure := await try_out(settings, services.patience)):
        found.insert(0, CheckMessage("qb.E010", failure.message, failure.hint))
    return [Outcome("mail", "degraded", "may not be sent", each) for each in found]


def _oddities(settings: Config) -> Iterator[CheckMessage]:
    """Yield what is probably not meant."""
    if not settings.MAIL_SERVER:
        if settings.PRODUCTION:
            message = "MAIL_SERVER is not set: no mail is sent."
            yield CheckMessage(
                "qb.W002", message, "Set MAIL_SERVER; jobs that mail wait until then."
            )
        fields = type(settings).model_fields
        unused = sorted(
            name
            for name in settings.model_fields_set
            if name.startswith("MAIL_") and getattr(settings, name) != fields[name].default
        )
        if unused:
            message = f"{', '.join(unused)} {'has' if len(unused) == 1 else 'have'} no effect."
            yield CheckMessage("qb.W010", message, "Set MAIL_SERVER, or remove the others.")
        return
    if settings.PRODUCTION and settings.MAIL_DEFAULT_SENDER:
        domain = sender(settings.MAIL_DEFAULT_SENDER).email.rpartition("@")[2]
        if f".{domain}".endswith(RESERVED):
            message = f"MAIL_DEFAULT_SENDER is at {domain}, which is reserved for examples."
            yield CheckMessage("qb.W011", message, "Set it to an address of your own domain.")
    if settings.MAIL_PORT == 465 and not settings.MAIL_USE_SSL:
        message = "MAIL_PORT is 465, which begins with TLS, but MAIL_USE_SSL is false."
        yield CheckMessage("qb.W012", message, "Set MAIL_USE_SSL=true, or MAIL_PORT=587.")
    if settings.MAIL_PORT in (25, 587) and settings.MAIL_USE_SSL:
        message = (
            f"MAIL_PORT is {settings.MAIL_PORT}, which begins without TLS, but MAIL_USE_SSL is "
            "true."
        )
        yield CheckMessage("qb.W012", message, "Set MAIL_USE_SSL=false, or MAIL_PORT=465.")
    encrypted = settings.MAIL_USE_TLS or settings.MAIL_USE_SSL
    if settings.MAIL_PASSWORD and not encrypted and settings.MAIL_SERVER not in THIS_MACHINE:
        message = "MAIL_PASSWORD is sent without encryption."
        yield CheckMessage("qb.W012", message, "Set MAIL_USE_TLS=true or MAIL_USE_SSL=true.")
