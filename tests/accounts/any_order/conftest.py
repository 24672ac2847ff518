"""What both machines run with: a loop to run by hand, a clock, and mails that are kept."""

import asyncio

import pytest

from app.config import Config
from app.mail.message import Email
from tests.accounts.any_order.model import Clock


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this suite, to run by hand.

    Hypothesis calls its rules one after another, outside any loop.
    """
    return asyncio.get_running_loop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the app's clock. Jobs go by the database's."""
    clock = Clock()
    monkeypatch.setattr("app.database.datetime", clock)
    return clock


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> list[Email]:
    """Collect the mails that are sent, without rendering them."""
    sent: list[Email] = []

    async def deliver(email: Email) -> None:
        sent.append(email)

    monkeypatch.setattr("app.mail.delivery.deliver", deliver)
    return sent


@pytest.fixture
def no_limits(settings: Config) -> None:
    """Set every limit high."""
    for name in Config.model_fields:
        if isinstance(getattr(settings, name), str) and "_LIMIT" in name:
            setattr(settings, name, "1000000/minute")
