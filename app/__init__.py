"""quart-base: an async web application on Quart."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quart import Quart


def create_app(config_name: str | None = None) -> "Quart":
    """Build the application for a named configuration: see `app.factory.create_app`."""
    # Imported late so that `import app.config` and `manage.py --help` do not load the whole stack.
    from app.factory import create_app

    return create_app(config_name)
