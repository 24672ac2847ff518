"""What commands share: an application to work in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from quart import Quart

from app.factory import create_app


@asynccontextmanager
async def application(config_name: str | None = None) -> AsyncIterator[Quart]:
    """The app of a configuration, with its context entered.

    Its connections are closed at the end.
    """
    app = create_app(config_name)
    await app.startup()
    async with app.app_context():
        try:
            yield app
        finally:
            await app.shutdown()
