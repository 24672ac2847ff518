"""Settings that are right by themselves and cannot be used together."""

from collections.abc import Iterator

from app.settings.fields import (
    Fields,
    JobSettings,
    MailSettings,
    PasswordSettings,
    SessionSettings,
)
from app.validators.senders import sender


class Contradiction(ValueError):
    """What is wrong with each variable that cannot be used beside the others."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__("; ".join(reasons.values()))
        self.reasons = reasons


def require_agreement(settings: Fields, *, production: bool) -> None:
    """Raise `Contradiction` if settings exclude each other, or one needs another."""
    reasons: dict[str, str] = {}
    if isinstance(settings, SessionSettings):
        reasons |= _sessions(settings)
    if isinstance(settings, PasswordSettings):
        reasons |= _passwords(settings)
    if isinstance(settings, JobSettings):
        reasons |= _jobs(settings)
    if isinstance(settings, MailSettings):
        reasons |= _mail(settings, getattr(settings, "ADMIN_EMAIL", None), production)
    if reasons:
        raise Contradiction(reasons)


def _sessions(settings: SessionSettings) -> Iterator[tuple[str, str]]:
    if min(settings.SESSION_IDLE, settings.SESSION_IDLE_REMEMBERED) <= settings.SESSION_TOUCH:
        yield (
            "SESSION_TOUCH",
            "sessions in use would expire; it is less than SESSION_IDLE and "
            "SESSION_IDLE_REMEMBERED",
        )


def _passwords(settings: PasswordSettings) -> Iterator[tuple[str, str]]:
    needed = 8 * settings.ARGON2_PARALLELISM
    if needed > settings.ARGON2_MEMORY_COST:
        yield (
            "ARGON2_MEMORY_COST",
            f"argon2 needs 8 KiB for each lane of ARGON2_PARALLELISM ({needed} KiB)",
        )


def _jobs(settings: JobSettings) -> Iterator[tuple[str, str]]:
    if settings.JOB_BACKOFF > settings.JOB_BACKOFF_MAX:
        yield "JOB_BACKOFF", "it is at most JOB_BACKOFF_MAX"


def _mail(
    settings: MailSettings, admin_email: str | None, production: bool
) -> Iterator[tuple[str, str]]:
    if settings.MAIL_USE_TLS and settings.MAIL_USE_SSL:
        yield (
            "MAIL_USE_SSL",
            "MAIL_USE_TLS is true as well; set MAIL_USE_TLS for STARTTLS (port 587) or "
            "MAIL_USE_SSL for implicit TLS (port 465)",
        )
    if settings.MAIL_USERNAME and not settings.MAIL_PASSWORD:
        yield "MAIL_PASSWORD", "needed with MAIL_USERNAME; set both or neither"
    if settings.MAIL_PASSWORD and not settings.MAIL_USERNAME:
        yield "MAIL_USERNAME", "needed with MAIL_PASSWORD; set both or neither"
    if not settings.MAIL_SERVER or settings.MAIL_DEFAULT_SENDER:
        return
    if production:  # none of its mails may come from a placeholder
        yield "MAIL_DEFAULT_SENDER", "needed with MAIL_SERVER"
    elif admin_email:
        try:
            sender(admin_email)
        except ValueError as error:
            yield "MAIL_DEFAULT_SENDER", f"mail would come from ADMIN_EMAIL, but {error}"
