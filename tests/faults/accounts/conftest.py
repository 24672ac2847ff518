"""One deployment on PostgreSQL for all tests of this folder; Redis is emptied before each."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import create_database
from tests.faults.accounts.deployed import Pair
from tests.faults.conftest import set_up
from tests.processes import NO_LIMITS, Served, served

MAIL_LIMITS = (
    "REGISTRATION_LIMIT",
    "CONFIRMATION_LIMIT",
    "RESET_LIMIT_ACCOUNT",
    "RESET_LIMIT_ADDRESS",
    "ACCOUNT_MAIL_LIMIT",
)
NO_LIMITS_AT_ALL = NO_LIMITS | dict.fromkeys(MAIL_LIMITS, "100000/minute")


# Limits per ip that a test reaches soon; the defaults are for offices and schools.
LOW_LIMITS = {
    "LOGIN_LIMIT_ADDRESS": "30/minute",
    "RESET_LIMIT_ADDRESS": "20/hour",
    "REGISTRATION_LIMIT": "10/hour",
}


@pytest.fixture(scope="package")
async def env(tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> dict[str, str]:
    """Set the deployment up; returns its environment."""
    return set_up(
        await create_database(f"test_accounts_{worker_number}"), tmp_path_factory.mktemp("accounts")
    )


@pytest.fixture(scope="package")
def pair(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Start two processes with low limits per ip, and with the default ones per account.

    They wait long for Redis: on a busy machine each would otherwise begin to count by itself, as it
    should when Redis is away.
    """
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        yield start_pair(env | {"REDIS_TIMEOUT": "20"} | LOW_LIMITS, folder, stack)


def start_pair(env: dict[str, str], folder: Path, stack: ExitStack) -> Pair:
    one, two = (stack.enter_context(served(env, folder / f"{name}.log")) for name in ("one", "two"))
    return one, two


@pytest.fixture(scope="package")
def unlimited(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a server whose limits nobody reaches; no worker runs."""
    with served(env | NO_LIMITS_AT_ALL, tmp_path_factory.mktemp("unlimited") / "web.log") as server:
        yield server
