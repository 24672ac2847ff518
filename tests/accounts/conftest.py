"""What all tests of accounts begin with."""

import pytest
from quart.typing import TestClientProtocol as Browser

from app.config import Config
from tests.factories.people import Person, log_in, make_person
from tests.mail import captured


@pytest.fixture(autouse=True)
def empty_mailbox(settings: Config) -> None:
    """No mails of earlier tests."""
    captured.empty(settings)


@pytest.fixture
async def robin() -> Person:
    return await make_person()


@pytest.fixture
async def browser(client: Browser, robin: Person) -> Browser:
    """A browser in which Robin has just logged in."""
    await log_in(client, robin)
    return client
