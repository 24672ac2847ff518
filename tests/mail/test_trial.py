"""`check` talks to the mail server and names what to correct, and sends nothing."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.config import Config, load_settings
from app.health.findings import CheckMessage
from app.health.probes import find
from app.mail.probes import mail
from app.mail.trial import Failure, try_out
from tests.mail.smtp_servers import HANG, Inbox, listening, scripted
from tests.processes import free_port, production

PASSWORD = "canary-3f9c"


def authenticate(
    server: SMTP, session: Any, envelope: Any, mechanism: str, data: LoginPassword
) -> AuthResult:
    return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@asynccontextmanager
async def strict_server(
    settings: Config, certificate: tuple[Path, ssl.SSLContext], *, tls_at_once: bool
) -> AsyncIterator[Inbox]:
    """Start a server that takes mail over TLS from whoever logs in with PASSWORD."""
    inbox, context = Inbox(), certificate[1]
    options: dict[str, Any] = {"authenticator": authenticate, "auth_required": True}
    if tls_at_once:
        options |= {"auth_require_tls": False}
    else:
        options |= {"tls_context": context, "require_starttls": True}
    async with listening(
        settings,
        lambda: SMTP(inbox, hostname="localhost", **options),
        ssl=context if tls_at_once else None,
    ):
        yield inbox


@pytest.fixture
def settings(smtp_settings: Config) -> Config:
    return smtp_settings


@pytest.fixture
def trusted(certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))


def configure(settings: Config, *, tls_at_once: bool, password: str = PASSWORD) -> None:
    settings.MAIL_USE_TLS, settings.MAIL_USE_SSL = not tls_at_once, tls_at_once
    settings.MAIL_USERNAME, settings.MAIL_PASSWORD = "us", password
    settings.MAIL_DEFAULT_SENDER = "Acme, Inc. <post@bücher.example>"


async def failure(settings: Config, patience: float = 5) -> Failure:
    found = await try_out(settings, patience)
    assert found is not None
    assert "canary" not in f"{found.message}{found.hint}"
    return found


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
@pytest.mark.parametrize("tls_at_once", [False, True])
async def test_a_server_that_takes_everything_is_left_without_a_mail(
    settings: Config,
    certificate: tuple[Path, ssl.SSLContext],
    trusted: None,
    tls_at_once: bool,
) -> None:
    configure(settings, tls_at_once=tls_at_once)
    async with strict_server(settings, certificate, tls_at_once=tls_at_once) as inbox:
        assert await try_out(settings, 5) is None
    assert inbox.envelopes == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
@pytest.mark.parametrize("tls_at_once", [False, True])
async def test_a_wrong_password_is_named(
    settings: Config,
    certificate: tuple[Path, ssl.SSLContext],
    trusted: None,
    tls_at_once: bool,
) -> None:
    configure(settings, tls_at_once=tls_at_once, password="canary-wrong")
    async with strict_server(settings, certificate, tls_at_once=tls_at_once):
        found = await failure(settings)
    assert "(535)" in found.message
    assert found.hint == "Correct MAIL_USERNAME and MAIL_PASSWORD."


async def test_a_server_that_wants_a_log_in_is_named(
    settings: Config, certificate: tuple[Path, ssl.SSLContext], trusted: None
) -> None:
    configure(settings, tls_at_once=False)
    settings.MAIL_USERNAME = settings.MAIL_PASSWORD = None
    async with strict_server(settings, certificate, tls_at_once=False):
        assert "wants a log-in: set MAIL_USERNAME" in (await failure(settings)).hint


async def test_a_certificate_that_nobody_vouches_for_is_named(
    settings: Config, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    configure(settings, tls_at_once=False)
    async with strict_server(settings, certificate, tls_at_once=False):
        assert "SSL_CERT_FILE" in (await failure(settings)).hint


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
async def test_starttls_on_a_port_that_begins_with_tls_is_named(
    settings: Config, certificate: tuple[Path, ssl.SSLContext], trusted: None
) -> None:
    configure(settings, tls_at_once=False)
    async with strict_server(settings, certificate, tls_at_once=True):
        found = await failure(settings, 1)
    assert "did not let us connect within 1 seconds" in found.message
    assert "MAIL_USE_SSL=true" in found.hint


async def test_tls_at_once_on_a_port_with_starttls_is_named(
    settings: Config, certificate: tuple[Path, ssl.SSLContext], trusted: None
) -> None:
    configure(settings, tls_at_once=True)
    async with strict_server(settings, certificate, tls_at_once=False):
        assert "MAIL_USE_SSL=false" in (await failure(settings)).hint


async def test_a_server_without_starttls_is_named(settings: Config) -> None:
    settings.MAIL_USE_TLS = True
    async with scripted(settings) as received:
        assert "MAIL_USE_TLS=false" in (await failure(settings)).hint
    assert {line.split()[0] for line in received} == {"EHLO"}


async def test_a_server_that_offers_no_log_in_is_named(settings: Config) -> None:
    settings.MAIL_USERNAME, settings.MAIL_PASSWORD = "us", PASSWORD
    async with scripted(settings, EHLO="250 localhost"):
        assert "set MAIL_USE_TLS=true" in (await failure(settings)).hint


async def test_a_sender_that_the_server_refuses_is_named(settings: Config) -> None:
    settings.MAIL_DEFAULT_SENDER = "us@example.org"
    async with scripted(settings, MAIL="553 5.7.1 not yours") as received:
        found = await failure(settings)
    assert "553 5.7.1 not yours" in found.message
    assert "Correct MAIL_DEFAULT_SENDER" in found.hint
    assert received[1].startswith("MAIL FROM:<us@example.org>")


async def test_the_sender_is_taken_back(settings: Config) -> None:
    async with scripted(settings) as received:
        assert await try_out(settings, 5) is None
    assert [line.split()[0] for line in received] == ["EHLO", "MAIL", "RSET", "QUIT"]


async def test_a_host_that_is_not_there_is_named(settings: Config) -> None:
    settings.MAIL_SERVER = "nobody.invalid"
    assert "correct MAIL_SERVER" in (await failure(settings)).hint


async def test_a_port_where_nobody_listens_is_named(settings: Config) -> None:
    settings.MAIL_PORT = free_port()
    assert "MAIL_PORT" in (await failure(settings)).hint


@pytest.mark.parametrize("moment", ["GREETING", "EHLO", "MAIL", "RSET"])
async def test_a_server_that_hangs_is_left_in_time(settings: Config, moment: str) -> None:
    async with scripted(settings, **{moment: HANG}):
        started = time.monotonic()
        found = await failure(settings, 0.3)
        assert time.monotonic() - started < 1
    assert "within 0.3 seconds" in found.message


async def test_a_server_that_is_slow_at_every_step_is_left_in_time(settings: Config) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while await reader.readline():
            await asyncio.sleep(0.3)
            writer.write(b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    settings.MAIL_PORT = server.sockets[0].getsockname()[1]
    assert "within 0.5 seconds" in (await failure(settings, 0.5)).message
    server.close()


async def test_a_server_that_is_no_mail_server_is_named(settings: Config) -> None:
    async with scripted(settings, GREETING="HTTP/1.1 400 Bad Request"):
        assert "MAIL_PORT" in (await failure(settings)).hint


async def test_the_server_is_asked_by_check_and_not_by_readyz(
    app: Quart, client: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = [probe for probe in app.extensions["probes"] if probe.look is mail]
    assert [probe.ready for probe in probes] == [False]


def odd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **more: str) -> Config:
    for name, value in production(f"sqlite:///{tmp_path / 'test.sqlite3'}", **more).items():
        monkeypatch.setenv(name, value)
    return load_settings("production")


@pytest.mark.parametrize(
    ("more", "ids", "words"),
    [
        ({"MAIL_USERNAME": "us", "MAIL_PASSWORD": "p"}, ["qb.W002", "qb.W010"], "MAIL_USERNAME"),
        ({"MAIL_PORT": "25"}, ["qb.W002", "qb.W010"], "MAIL_PORT has no effect"),
        ({"MAIL_SERVER": "localhost"}, ["qb.E010", "qb.W011"], "reserved for examples"),
        (
            {"MAIL_SERVER": "localhost", "MAIL_PORT": "465", "MAIL_DEFAULT_SENDER": "a@b.org"},
            ["qb.E010", "qb.W012"],
            "MAIL_USE_SSL=true",
        ),
        (
            {"MAIL_SERVER": "localhost", "MAIL_USE_SSL": "1", "MAIL_DEFAULT_SENDER": "a@b.org"},
            ["qb.E010", "qb.W012"],
            "MAIL_USE_SSL=false",
        ),
        (
            {
                "MAIL_SERVER": "nobody.invalid",
                "MAIL_USE_TLS": "0",
                "MAIL_DEFAULT_SENDER": "a@b.org",
                "MAIL_USERNAME": "us",
                "MAIL_PASSWORD": "p",
            },
            ["qb.E010", "qb.W012"],
            "sent without encryption",
        ),
    ],
)
async def test_what_is_probably_not_meant_is_said(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    more: dict[str, str],
    ids: list[str],
    words: str,
) -> None:
    sender = {"MAIL_DEFAULT_SENDER": "post@example.org"} if "MAIL_SERVER" in more else {}
    settings = odd(monkeypatch, tmp_path, **(sender | more))
    found: list[CheckMessage] = await find(settings, mail)
    assert [each.id for each in found] == ids
    assert words in " ".join(f"{each.message} {each.hint}" for each in found)
