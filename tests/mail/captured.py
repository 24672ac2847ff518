"""What people get by mail: the jobs that are due run, and what they send is in the mailbox."""

import re
from typing import Any

from quart.typing import TestClientProtocol as Browser

from app.config import Config
from tests.jobs.conftest import run_burst

HERE = {"headers": {"Host": "localhost"}, "scope_base": {"client": ("127.0.0.1", 5000)}}


def empty(settings: Config) -> None:
    """No mails of earlier tests."""
    for path in (settings.INSTANCE_PATH / "mail").glob("*.eml"):
        path.unlink()


async def mails(client: Browser) -> list[dict[str, Any]]:
    """Run what is due, and give what has arrived in the mailbox, newest first."""
    await run_burst()
    found: list[dict[str, Any]] = await (await client.get("/dev/mail.json", **HERE)).get_json()
    return found


async def newest(client: Browser, subject: str, to: str | None = None) -> dict[str, Any]:
    """The newest mail about something, to somebody if that matters."""
    return next(
        m for m in await mails(client) if subject in m["subject"] and to in (None, m["to"][0])
    )


def link_in(mail: dict[str, Any]) -> str:
    """The path of the one link with a secret in a mail."""
    path: str
    [path] = set(re.findall(r"http://localhost(/account/\S+/[\w-]{43})", mail["text"]))
    assert path in mail["html"]
    return path


async def link_to(client: Browser, subject: str, to: str | None = None) -> str:
    """The path of the link in the newest mail about something."""
    return link_in(await newest(client, subject, to))


def token_of(path: str) -> str:
    """The secret of a link."""
    return path.rpartition("/")[2]
