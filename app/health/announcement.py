"""Say at every start which configuration runs and what chose it, and what has no effect."""

import logging
import os

from sqlalchemy import make_url

from app.config import Config
from app.environment import CHOSEN_BY, chosen_by, chosen_config, environment_files
from app.health.settings import in_vain

logger = logging.getLogger(__name__)


def announce(settings: Config, config_name: str | None = None) -> None:
    """Log the announcement, unless `serve` has printed it for all its processes."""
    if CHOSEN_BY in os.environ:
        return
    logger.info("%s", summary(settings, config_name))
    for warning in warnings():
        logger.warning("%s", warning)


def summary(settings: Config, config_name: str | None = None) -> str:
    """Return a line about the configuration. It holds no secret."""
    database = make_url(settings.DATABASE_URL).render_as_string(hide_password=True)
    files = " and ".join(map(str, environment_files()))
    return "; ".join(
        [
            f"Configuration {settings.NAME}, {chosen_by(config_name or chosen_config())}",
            f"settings from {files} and the environment" if files else "no .env file was found",
            f"BASE_URL {settings.BASE_URL}",
            f"database {database}",
        ]
    )


def warnings() -> list[str]:
    """Return a line for every variable that probably has no effect."""
    return [f"{each.id}: {each.message} {each.hint}" for each in in_vain()]
