"""The mail that people get: due jobs are run, and the mailbox has what they send."""

import re
from typing import Any

from quart.typing import TestClientProtocol as Browser

from app.config import Config
from tests.jobs.conftest import run_due

HERE = {"headers": {"Host": "localhost"}, "scope_base": {"client": ("127.0.0.1", 5000)}}


def empty(settings: Config) -> None:
    """Delete the mails of earlier tests."""
    for path in (settings.INSTANCE_PATH / "mail").glob("*.eml"):
        path.unlink()


async def mails(client: Browser) -> list[dict[str, Any]]:
    """Run the jobs that are due, and return the mails in the mailbox, newest first."""
    await run_due(client.app)
    found: list[dict[str, Any]] = await (await client.get("/dev/mail.json", **HERE)).get_json()
    return found


async def newest(client: Browser, subject: str, to: str | None = None) -> dict[str, Any]:
    """Return the newest mail with this subject, to this recipient if one is given."""
    return next(
        m for m in await mails(client) if subject in m["subject"] and to in (None, m["to"][0])
    )


def link_in(mail: dict[str, Any]) -> str:
    """Return the path of the one link with a secret in a mail."""
    path: str
    [path] = set(re.findall(r"http://localhost(/account/\S+/[\w-]{43})", mail["text"]))
    assert path in mail["html"]
    return path


async def link_to(client: Browser, subject: str, to: str | None = None) -> str:
    """Return the path of the link in the newest mail with this subject."""
    return link_in(await newest(client, subject, to))


def token_of(path: str) -> str:
    """Return the secret of a link."""
    return path.rpartition("/")[2]
