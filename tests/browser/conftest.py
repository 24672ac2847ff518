"""Debian's Chromium, driven by Playwright, and a site for it with its worker.

Nothing is downloaded.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from playwright.async_api import Browser, async_playwright, expect
from quart import Quart

from app import create_app
from app.environment import PROJECT_ROOT
from tests.browser.pages import Hands, Keyboard, Mailed, page_of
from tests.processes import NO_LIMITS, Served, get, manage, served, variables

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

# Somebody at a browser: its width, whether it runs JavaScript, and how they use it.
WAYS = {
    "phone": (375, True, Hands),
    "keyboard": (1280, True, Keyboard),
    "phone without JavaScript": (375, False, Hands),
    "desktop without JavaScript": (1280, False, Hands),
}

expect.set_options(timeout=15_000)  # milliseconds: machines may be busy


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Start a browser. Without one the test is skipped, or fails where `CI` is set."""
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
    """Start the application as in development, with its first administrator."""
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
    """Start the site's worker, which sends its mails."""
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
    """Create the site's application in this process."""
    with patch.dict(os.environ, site.env, clear=True):
        app = create_app("development")
    await app.startup()
    yield app
    await app.shutdown()


@pytest.fixture
async def inside(same_site: Quart) -> AsyncIterator[None]:
    """Let a test create people in the site's database with the application's own functions."""
    async with same_site.app_context():
        yield


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
async def hands(
    request: pytest.FixtureRequest, chromium: Browser, site: Served
) -> AsyncIterator[Hands]:
    """Return somebody at a page: with a mouse, a keyboard or a phone, with and without scripts."""
    width, javascript, kind = request.param
    async with page_of(chromium, site, width=width, javascript=javascript) as page:
        yield kind(page, javascript=javascript)


@pytest.fixture
def mailed(site: Served) -> Mailed:
    """Return a function that waits for the newest mail with a subject to somebody."""

    async def wait(to: str, subject: str, number: int = 1) -> dict[str, Any]:
        deadline = time.monotonic() + 60  # seconds: the worker may still be starting
        while time.monotonic() < deadline:
            _, text = await asyncio.to_thread(get, f"{site.url}/dev/mail.json")
            found = [
                mail
                for mail in json.loads(text)
                if mail["to"] == [to] and mail["subject"].endswith(subject)
            ]
            if len(found) >= number:
                # No template was left unrendered.
                assert "{{" not in found[0]["html"] + found[0]["text"]
                return dict(found[0])
            await asyncio.sleep(0.05)
        raise AssertionError(
            f"no mail about {subject!r} to {to}: {(site.log.parent / 'worker.log').read_text()}"
        )

    return wait
