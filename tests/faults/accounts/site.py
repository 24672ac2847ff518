"""A whole site: two servers behind a proxy, a worker, and a mail server with everybody's mail."""

import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from sqlalchemy import select

from app.environment import PROJECT_ROOT
from app.jobs.models import Job, State
from tests.accounts.surfaces import Request
from tests.faults.accounts.deployed import Answer, send
from tests.faults.conftest import transaction
from tests.processes import Served, free_port, served

PATIENCE = 60  # seconds; a busy machine takes its time


class MailServer:
    """An SMTP server that gives its `answers` to recipients first, then accepts everything."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: list[str] = []
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        return "250 OK"

    def mails_to(self, email: str, subject: str = "") -> list[str]:
        """Return the texts of the mails to an address with this in their subject, oldest first."""
        return [
            str(next(mail.iter_parts()).get_content())
            for mail in self.mails
            if mail["To"] == email and subject in mail["Subject"]
        ]


class Site:
    """Two servers on one database, and a worker; requests reach them through one proxy."""

    def __init__(
        self, env: dict[str, str], folder: Path, pair: tuple[Served, Served], post: MailServer
    ) -> None:
        self.env, self.folder, self.pair, self.post = env, folder, pair, post
        self.requests = 0
        self.worker: subprocess.Popen[bytes] | None = None

    def start_worker(self) -> None:
        with (self.folder / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "arq", "worker.WorkerSettings"]
            self.worker = subprocess.Popen(
                command, env=self.env, cwd=PROJECT_ROOT, stdout=log, stderr=log
            )

    def stop_worker(self) -> None:
        if self.worker:
            self.worker.kill()
            self.worker.wait()
            self.worker = None

    async def mails(self, email: str, subject: str = "") -> list[str]:
        """Wait until all jobs are done; return the mails to an address, the oldest first."""
        await self.settle()
        return self.post.mails_to(email, subject)

    async def settle(self) -> None:
        """Wait until no job waits or runs."""
        unfinished = Job.state.in_([State.WAITING, State.RUNNING])
        deadline = time.monotonic() + PATIENCE
        while True:
            async with transaction(self.env) as session:
                left = (await session.execute(select(Job.name).where(unfinished))).scalars().all()
            if not left:
                return
            assert time.monotonic() < deadline, (left, self.log())
            await asyncio.sleep(0.2)

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()[-3000:]


class Visitor:
    """A browser with cookies, or a program with a token, at an ip of its own."""

    def __init__(self, site: Site, ip: str) -> None:
        self.site, self.ip = site, ip
        self.cookies: dict[str, str] = {}

    def send(self, request: Request, secret: str | None = None) -> Answer:
        """Send a request to one of the two servers in turn; keep the cookies of the answer."""
        self.site.requests += 1
        server = self.site.pair[self.site.requests % 2]
        headers = {"X-Forwarded-For": self.ip, "X-Forwarded-Proto": "http"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = send(server, request, secret, headers=headers)
        for line in answer.set_cookies:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return answer


def link_in(text: str) -> str:
    """Return the secret of the one link in a mail."""
    [secret] = set(re.findall(r"/([\w-]{43})\b", text))
    return str(secret)


@contextlib.contextmanager
def site(env: dict[str, str], folder: Path) -> Iterator[Site]:
    """Run a site for the length of a block. Its limits are the default ones."""
    post = MailServer()
    post.controller.start()
    env = env | {
        "TRUSTED_PROXIES": "1",
        "REDIS_TIMEOUT": "20",
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(post.controller.port),
        "MAIL_USE_TLS": "false",
        "MAIL_DEFAULT_SENDER": "post@example.org",
        "JOB_BACKOFF": "0.5",
    }
    with contextlib.ExitStack() as stack:
        stack.callback(post.controller.stop)
        one, two = (
            stack.enter_context(served(env, folder / f"{name}.log")) for name in ("one", "two")
        )
        made = Site(env, folder, (one, two), post)
        made.start_worker()
        stack.callback(made.stop_worker)
        yield made
