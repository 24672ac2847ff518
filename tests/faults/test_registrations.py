"""Registrations as they are deployed.

Web server, worker, Redis and an SMTP server, each on its own.
"""

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from redis import Redis
from sqlalchemy import create_engine, text

from app.environment import PROJECT_ROOT
from tests.faults.conftest import ADMINISTRATOR
from tests.processes import NO_LIMITS, Served, free_port, served
from tests.servers import Server, start_valkey

pytestmark = pytest.mark.faults

PASSWORD = "canary-of-a-person sings"
MAIL_PASSWORD = "canary-of-the-mail-server"


class Post:
    """An SMTP server that keeps what it accepts; it gives the `answers` first, then accepts all."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: list[str] = []
        self.port = free_port()
        self.auth: list[tuple[str, str]] = []
        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            authenticator=self.authenticate,
            auth_require_tls=False,
        )

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        return AuthResult(success=True)

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

    def text(self, number: int) -> str:
        [plain, _] = self.mails[number].iter_parts()
        return str(plain.get_content())


class System:
    """A deployment: web server, worker, Redis and SMTP server."""

    def __init__(
        self, env: dict[str, str], folder: Path, server: Served, valkey: Server, post: Post
    ) -> None:
        self.env, self.folder, self.server, self.valkey, self.post = (
            env,
            folder,
            server,
            valkey,
            post,
        )
        with (folder / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "arq", "worker.WorkerSettings"]
            self.worker = subprocess.Popen(
                command, env=env, cwd=PROJECT_ROOT, stdout=log, stderr=log
            )

    def signal_redis(self, number: signal.Signals) -> None:
        subprocess.run(
            ["pkill", f"-{number.name[3:]}", "-P", str(self.valkey.process.pid)], check=True
        )

    def restart_redis(self) -> None:
        (self.folder / "valkey.sock").unlink(missing_ok=True)
        self.valkey.stop()
        self.valkey, _ = start_valkey(self.folder)

    def rows(self, query: str) -> list[Any]:
        url = self.env["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
        if url.startswith("sqlite"):
            engine = create_engine(url)
            with engine.connect() as connection:
                found = list(connection.execute(text(query)).all())
            engine.dispose()
            return found
        return asyncio.run(self._rows(query))

    async def _rows(self, query: str) -> list[Any]:
        import asyncpg

        parts = urllib.parse.urlsplit(self.env["DATABASE_URL"])
        host = urllib.parse.parse_qs(parts.query)["host"][0]
        connection = await asyncpg.connect(
            host=host, user="postgres", database=parts.path.strip("/")
        )
        try:
            return [tuple(row.values()) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    def register(self, number: int) -> tuple[int, float]:
        """Register by page; returns the status and the seconds it took."""
        form = {
            "first_name": "Robin",
            "last_name": "Example",
            "email": f"robin{number}@example.com",
        }
        body = urllib.parse.urlencode(form | {"password": PASSWORD, "password2": PASSWORD})
        return self.request("POST", "/account/register", body)

    def request(self, method: str, path: str, body: str | None) -> tuple[int, float]:
        """Send a request; returns its status and the seconds it took."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        started = time.monotonic()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, time.monotonic() - started

    def wait_for_mails(self, number: int, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while len(self.post.mails) < number and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(self.post.mails) >= number, (self.folder / "worker.log").read_text()[-3000:]

    def logs(self) -> str:
        return self.server.log.read_text() + (self.folder / "worker.log").read_text()


@pytest.fixture
def system(deployment: dict[str, str], tmp_path: Path) -> Iterator[System]:
    """Start a deployment whose limits the load does not reach."""
    valkey, socket = start_valkey(tmp_path)
    post = Post()
    post.controller.start()
    env = deployment | NO_LIMITS
    env |= {
        "REDIS_URL": f"unix://{socket}",
        "REGISTRATION_LIMIT": "100000/hour",
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(post.port),
        "MAIL_USE_TLS": "false",
        "MAIL_DEFAULT_SENDER": "post@example.org",
        "MAIL_USERNAME": "post",
        "MAIL_PASSWORD": MAIL_PASSWORD,
        "JOB_BACKOFF": "0.5",
        "LOG_LEVEL": "DEBUG",
    }
    with served(env, tmp_path / "web.log") as server:
        system = System(env, tmp_path, server, valkey, post)
        try:
            yield system
        finally:
            system.worker.kill()
            system.worker.wait()
            with contextlib.suppress(subprocess.CalledProcessError):
                system.signal_redis(signal.SIGCONT)
            system.valkey.stop()
            post.controller.stop()


def test_redis_killed_and_frozen_fails_no_registration_and_loses_no_mail(system: System) -> None:
    answers: dict[int, tuple[int, float]] = {}
    numbers = iter(range(100_000))
    turn, over = threading.Lock(), threading.Event()

    def visitor() -> None:
        while not over.is_set():
            with turn:
                number = next(numbers)
            answers[number] = system.register(number)
            time.sleep(0.2)

    visitors = [threading.Thread(target=visitor) for _ in range(6)]
    for thread in visitors:
        thread.start()
    time.sleep(4)
    undisturbed = max(seconds for _, seconds in list(answers.values()))
    system.signal_redis(signal.SIGKILL)
    time.sleep(5)
    system.restart_redis()
    time.sleep(3)
    system.signal_redis(signal.SIGSTOP)
    time.sleep(6)
    system.signal_redis(signal.SIGCONT)
    time.sleep(2)
    over.set()
    for thread in visitors:
        thread.join()
    assert len(answers) > 50
    assert {status for status, _ in answers.values()} == {303}
    # Half of what it would be, did one of them wait until Redis is there again.
    assert max(seconds for _, seconds in answers.values()) < undisturbed + 3
    system.wait_for_mails(len(answers))
    time.sleep(1)
    received = Counter(str(mail["To"]) for mail in system.post.mails)
    assert received == Counter(f"robin{number}@example.com" for number in answers)
    assert {str(mail["Subject"]) for mail in system.post.mails} == {
        "[quart-base] Confirm your account"
    }
    links = {
        link
        for n in range(len(answers))
        for link in re.findall(r"http\S+", system.post.text(n))
        if "/" in link
    }
    assert len([link for link in links if "/account/confirm-account/" in link]) == len(answers), (
        "each has its own"
    )


def test_pages_answer_within_a_second_while_redis_is_frozen(system: System) -> None:
    """Ask for the home page, a log-in, a wrong log-in and both probes for half a minute."""
    if "sqlite" in system.env["DATABASE_URL"]:
        pytest.skip("it takes half a minute, and the database has no part in it")
    right = urllib.parse.urlencode(ADMINISTRATOR)
    wrong = urllib.parse.urlencode(ADMINISTRATOR | {"password": "not it, surely"})
    requests = [
        ("GET", "/", None, 200),
        ("POST", "/account/login", right, 303),
        ("POST", "/account/login", wrong, 401),
    ]
    requests += [("GET", "/account/login", None, 200), ("GET", "/livez", None, 200)]
    assert [system.request(*each[:3])[0] for each in requests] == [each[3] for each in requests]
    system.signal_redis(signal.SIGSTOP)
    slowest, until = 0.0, time.monotonic() + 30
    while time.monotonic() < until:
        for method, path, body, expected in requests:
            status, seconds = system.request(method, path, body)
            assert status == expected, path
            slowest = max(slowest, seconds)
        time.sleep(0.2)
    assert slowest < 5, "none of them waits for Redis"
    assert system.worker.poll() is None
    assert system.request("GET", "/readyz", None)[0] == 200


def test_a_server_that_refuses_for_a_while_gets_the_same_message_later(system: System) -> None:
    system.post.answers = ["421 later", "450 later"]
    assert system.register(1)[0] == 303
    system.wait_for_mails(1)
    [(identifier, state, attempt)] = system.rows(
        "SELECT id, state, attempt FROM jobs WHERE name LIKE 'accounts.send%'"
    )
    deadline = time.monotonic() + 5
    while state != "done" and time.monotonic() < deadline:
        time.sleep(0.1)
        [(identifier, state, attempt)] = system.rows(
            "SELECT id, state, attempt FROM jobs WHERE name LIKE 'accounts.send%'"
        )
    assert (state, attempt) == ("done", 3)
    assert str(identifier).replace("-", "") in str(system.post.mails[0]["Message-ID"]).replace(
        "-", ""
    )


def test_a_mail_that_is_refused_for_good_is_dead_and_says_why(system: System) -> None:
    system.post.answers = ["550 there is no such mailbox"]
    assert system.register(1)[0] == 303
    deadline, found = time.monotonic() + 20, list[Any]()
    while not found and time.monotonic() < deadline:
        time.sleep(0.1)
        found = system.rows("SELECT attempt, error FROM jobs WHERE state = 'dead'")
    [(attempt, error)] = found
    assert attempt == 1
    assert "550 there is no such mailbox" in error
    assert system.post.mails == []


def all_of(read: Any) -> Any:
    return lambda key: read(key, 0, -1)


def test_no_secret_is_in_logs_jobs_or_redis(system: System) -> None:
    system.post.answers = [f"450 what is {MAIL_PASSWORD}"[:4] + "later"]
    assert system.register(1)[0] == 303
    system.wait_for_mails(1)
    token = re.findall(r"/account/confirm-account/(\S+)", system.post.text(0))[0]
    for path in (f"/account/confirm-account/{token}", f"/account/confirm-account/{token}x"):
        connection = http.client.HTTPConnection("127.0.0.1", system.server.port, timeout=10)
        for method in ("GET", "POST"):
            connection.request(method, path)
            connection.getresponse().read()
        connection.close()
    bad = json.dumps({"email": "robin1@example.com", "password": PASSWORD, "nonsense": PASSWORD})
    connection = http.client.HTTPConnection("127.0.0.1", system.server.port, timeout=10)
    connection.request("POST", "/api/v1/session", bad, {"Content-Type": "application/json"})
    answer = connection.getresponse().read().decode()
    connection.close()
    client = Redis(unix_socket_path=str(system.folder / "valkey.sock"))
    kept = []
    for key in client.scan_iter():
        read = {
            b"string": client.get,
            b"set": client.smembers,
            b"hash": client.hgetall,
            b"list": all_of(client.lrange),
            b"zset": all_of(client.zrange),
        }
        kept.append((key, read[cast(bytes, client.type(key))](key)))
    client.close()
    jobs = repr(system.rows("SELECT * FROM jobs"))
    assert "accounts.send_registration" in jobs
    assert "accounts.send_registration" in system.logs()
    secrets = [PASSWORD, PASSWORD.split()[0], MAIL_PASSWORD, token, system.env["SECRET_KEY"]]
    for place, content in (
        ("logs", system.logs()),
        ("jobs", jobs),
        ("redis", repr(kept)),
        ("answer", answer),
    ):
        assert [secret for secret in secrets if secret in content] == [], place
    assert os.environ.get("MAIL_PASSWORD") is None
