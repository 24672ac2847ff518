"""What all tests of accounts begin with."""

import pytest

from app.config import Config
from tests.accounts import mailbox


@pytest.fixture(autouse=True)
def empty_mailbox(settings: Config) -> None:
    """No mails of earlier tests."""
    mailbox.empty(settings)
