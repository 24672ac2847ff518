"""Debian's Chromium, driven by Playwright; nothing is downloaded.

And a site for it, with its worker.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from playwright.async_api import Browser, async_playwright, expect
from quart import Quart

from app import create_app
from app.environment import PROJECT_ROOT
from tests.processes import NO_LIMITS, Served, manage, served, variables

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MORE = (
    "REGISTRATION_LIMIT",
    "RESET_LIMIT_ADDRESS",
    "RESET_LIMIT_ACCOUNT",
    "CONFIRMATION_LIMIT",
    "ACCOUNT_MAIL_LIMIT",
)

expect.set_options(timeout=15_000)  # milliseconds: machines may be busy


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A browser; without one the test is skipped, except where CI demands it."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("There is no Chromium. Run: apt-get install chromium")
        pytest.skip("there is no Chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The application as development serves it, with its first administrator."""
    folder: Path = tmp_path_factory.mktemp("site")
    env = variables(
        DEV_DATABASE_URL=f"sqlite:///{folder / 'test.sqlite3'}",
        REDIS_URL=os.environ["REDIS_URL"],
        INSTANCE_PATH=str(folder),
        BASE_URL="http://localhost",
        ARGON2_MEMORY_COST="8",
        ARGON2_TIME_COST="1",
        WORKER_LEASE="600",  # on a busy machine a worker whose lease is in danger would end
        **dict.fromkeys(MORE, "100000/hour"),
        **NO_LIMITS,
    )
    process = manage("setup-dev", env=env)
    assert process.returncode == 0, process.stderr
    with served(env, folder / "server.log") as server:
        yield server


@pytest.fixture(scope="module")
def worker(site: Served) -> Iterator[None]:
    """The site's worker, which sends its mails."""
    with (site.log.parent / "worker.log").open("ab") as output:
        command = [sys.executable, str(PROJECT_ROOT / "manage.py"), "run-worker"]
        env = {**site.env, "WORKER_SWEEP": "0.2"}
        process = subprocess.Popen(
            command, env=env, cwd=os.environ["TEST_FOLDER"], stdout=output, stderr=output
        )
    yield
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="session")
async def same_site(site: Served) -> AsyncIterator[Quart]:
    """The site's application in this process."""
    with patch.dict(os.environ, site.env, clear=True):
        app = create_app("development")
    await app.startup()
    yield app
    await app.shutdown()


@pytest.fixture
async def inside(same_site: Quart) -> AsyncIterator[None]:
    """Lets a test put people into the site's database, by the product's own functions."""
    async with same_site.app_context():
        yield
