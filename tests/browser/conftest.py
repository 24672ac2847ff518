"""Debian's Chromium, driven by Playwright; nothing is downloaded."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.processes import NO_LIMITS, Served, manage, served, variables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


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
        REGISTRATION_LIMIT="100000/hour",
        **NO_LIMITS,
    )
    process = manage("setup-dev", env=env)
    assert process.returncode == 0, process.stderr
    with served(env, folder / "server.log") as server:
        yield server
