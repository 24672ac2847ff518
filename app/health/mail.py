"""The probe of outgoing mail."""

from app.health.findings import CheckMessage, Outcome, Services


async def mail(services: Services) -> list[Outcome]:
    """Check that mail can be sent."""
    if not services.settings.PRODUCTION or services.settings.MAIL_SERVER:
        return []
    message = "MAIL_SERVER is not set: no mail is sent."
    found = CheckMessage("qb.W002", message, "Set MAIL_SERVER; jobs that mail wait until then.")
    return [Outcome("mail", "degraded", "is not sent", found)]
