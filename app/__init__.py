"""quart-base: an async web application on Quart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quart import Quart


def create_app(config_name: str | None = None) -> "Quart":
    """Build the application for a named configuration: see `app.factory.create_app`."""
    # Imported late so that `import app.config` and `manage.py --help` do not load the whole stack.
    from app.factory import create_app

    return create_app(config_name)


@asynccontextmanager
async def application(config_name: str | None = None) -> "AsyncIterator[Quart]":
    """Run a block inside the application of a configuration, as commands and scripts do.

    Starts the application, enters its context, and closes its connections at the end.
    """
    app = create_app(config_name)
    await app.startup()
    async with app.app_context():
        try:
            yield app
        finally:
            await app.shutdown()
