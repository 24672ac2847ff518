"""The background jobs of mail."""

from uuid import UUID

from app.database import db
from app.jobs.queue import job
from app.mail import outbox

# With JOB_BACKOFF as it is, these attempts take about twelve hours.
MAIL_ATTEMPTS = 20
# Seconds. A slow mail server must be able to finish: if it is cut off before it acknowledges the
# mail, the next attempt sends it a second time.
MAIL_TIMEOUT = 120


@job("mail.send_notice", timeout=MAIL_TIMEOUT, max_attempts=MAIL_ATTEMPTS)
async def send_notice(mail_id: str) -> None:
    """Send a mail of the outbox."""
    await outbox.send_notice(UUID(mail_id))


@job("mail.delete_old", timeout=300)
async def delete_old() -> None:
    """Delete old mails of the outbox."""
    async with db.transaction() as session:
        await outbox.delete_old(session)
