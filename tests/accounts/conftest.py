"""What all tests of accounts begin with."""

import pytest

from app.config import Config
from tests.mail import captured


@pytest.fixture(autouse=True)
def empty_mailbox(settings: Config) -> None:
    """No mails of earlier tests."""
    captured.empty(settings)
