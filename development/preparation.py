"""Preparation of `serve`: checks what it needs, and reports how to log in."""

from app.accounts.commands import setup_dev
from app.config import DEFAULT_ADMIN_PASSWORD, Config, load_settings
from app.environment import load_environment
from app.health import probes
from app.health.announcement import summary, warnings
from app.health.database import EMPTY


def announcement(config_name: str | None = None) -> list[str]:
    """Return the lines to print first: which configuration runs, and what has no effect."""
    load_environment()
    return [summary(load_settings(config_name), config_name), *warnings()]


async def prepare_to_serve(config_name: str | None = None) -> list[str]:
    """Make sure that `serve` can serve, and return the lines to print.

    In development an empty database is migrated and seeded. Raises `NotReady`, which says what to
    do, if anything else is missing.
    """
    load_environment()
    settings = load_settings(config_name)
    lines = []
    await probes.require(settings, probes.redis)
    found = await probes.find(settings, probes.database, probes.roles)
    if settings.DEBUG and [message.id for message in found] == [EMPTY]:
        await setup_dev(config_name)
        lines.append("The database was empty: migrated it, and created roles and an administrator.")
    else:
        probes.raise_errors(found)
    if settings.DEBUG:
        page, password = f"{settings.BASE_URL}/account/login", password_hint(settings)
        lines.append(f"Log in at {page} as {settings.ADMIN_EMAIL}, password {password}.")
        if not settings.MAIL_SERVER:
            lines.append(f"Its mail is at {settings.BASE_URL}/dev/mail.")
    return lines


def password_hint(settings: Config) -> str:
    """Return the default password, which is no secret, or where another one was set."""
    return (
        repr(DEFAULT_ADMIN_PASSWORD)
        if settings.ADMIN_PASSWORD == DEFAULT_ADMIN_PASSWORD
        else "as in ADMIN_PASSWORD"
    )
