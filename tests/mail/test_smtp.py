"""Mail by SMTP on real sockets: what arrives, and what a refusal or silence leads to."""

import asyncio
import base64
import ssl
import time
import traceback
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from app.config import Config
from app.mail.delivery import deliver
from app.mail.message import Email, MailFailed, MailRefused
from tests.mail.smtp_servers import HANG, Inbox, listening, scripted
from tests.processes import free_port

PASSWORD = "canary-3f9c"
LINK = "http://localhost/account/confirm-account/canary-token"


def confirmation(to: str) -> Email:
    return Email(
        to=to,
        subject="Confirm",
        template="accounts/email/confirmation",
        name="Jörg",
        link=LINK,
        time="24 hours",
    )


CONFIRMATION = confirmation("robin@example.com")


@pytest.fixture
def settings(smtp_settings: Config) -> Config:
    return smtp_settings


@pytest.fixture(params=["STARTTLS", "TLS"])
async def tls_server(
    request: pytest.FixtureRequest, settings: Config, certificate: tuple[Path, ssl.SSLContext]
) -> AsyncIterator[Inbox]:
    """Start a server that accepts mail over TLS only."""
    inbox, context = Inbox(), certificate[1]
    upgrade = request.param == "STARTTLS"
    settings.MAIL_USE_TLS, settings.MAIL_USE_SSL = upgrade, not upgrade
    options: dict[str, Any] = {"tls_context": context, "require_starttls": True} if upgrade else {}
    async with listening(
        settings,
        lambda: SMTP(inbox, hostname="localhost", **options),
        ssl=None if upgrade else context,
    ):
        yield inbox


async def test_a_mail_arrives_whole(settings: Config) -> None:
    inbox = Inbox()
    async with listening(settings, lambda: SMTP(inbox, hostname="localhost")):
        await deliver(CONFIRMATION)
    [envelope] = inbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("admin@example.com", ["robin@example.com"])
    assert isinstance(envelope.content, bytes)
    message = message_from_bytes(envelope.content, policy=policy.default)
    text, html = [part.get_content() for part in message.iter_parts()]
    assert "Hello Jörg,\r\n" in text
    assert "Hello Jörg," in html
    assert LINK in text
    assert LINK in html


async def test_it_arrives_over_tls(
    settings: Config,
    tls_server: Inbox,
    certificate: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    await deliver(CONFIRMATION)
    assert len(tls_server.envelopes) == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    settings: Config, tls_server: Inbox
) -> None:
    with pytest.raises(MailFailed, match="certificate verify failed"):
        await deliver(CONFIRMATION)
    assert tls_server.envelopes == []


async def test_a_certificate_of_another_name_is_refused(
    settings: Config,
    tls_server: Inbox,
    certificate: tuple[Path, ssl.SSLContext],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    settings.MAIL_SERVER = "127.0.0.1"
    with pytest.raises(MailFailed, match="certificate verify failed"):
        await deliver(CONFIRMATION)
    assert tls_server.envelopes == []


async def test_without_starttls_where_it_is_wanted_nothing_is_sent(settings: Config) -> None:
    settings.MAIL_USE_TLS, settings.MAIL_USERNAME, settings.MAIL_PASSWORD = True, "us", PASSWORD
    async with scripted(settings) as received:
        with pytest.raises(MailFailed, match="STARTTLS"):
            await deliver(CONFIRMATION)
    assert {line.split()[0] for line in received} == {"EHLO"}


async def test_a_host_of_another_alphabet_is_written_as_every_server_understands(
    settings: Config,
) -> None:
    inbox = Inbox()
    async with listening(settings, lambda: SMTP(inbox, hostname="localhost")):
        await deliver(confirmation("kim@bücher.example"))
        with pytest.raises(MailRefused, match="ASCII"):
            await deliver(confirmation("jörg@example.com"))
    [envelope] = inbox.envelopes
    assert envelope.rcpt_tos == ["kim@xn--bcher-kva.example"]
    assert isinstance(envelope.content, bytes)
    assert b"\r\nTo: kim@xn--bcher-kva.example\r\n" in envelope.content


@pytest.mark.parametrize(
    "script",
    [
        {"GREETING": "421 too busy"},
        {"MAIL": "451 not now"},
        {"RCPT": "450 mailbox busy"},
        {"RCPT": "421 closing"},
        {"DATA": "451 not now"},
        {".": "452 no room"},
        {"MAIL": "530 5.7.0 log in first"},  # our configuration, and not this mail's fault
        {"EHLO": "421 closing"},
        {"GREETING": "554 no service for you"},
    ],
    ids=str,
)
async def test_what_a_server_will_not_take_now_is_tried_again(
    settings: Config, script: dict[str, str]
) -> None:
    async with scripted(settings, **script):
        with pytest.raises(MailFailed, match=next(iter(script.values()))):
            await deliver(CONFIRMATION)


@pytest.mark.parametrize(
    "script",
    [
        {"MAIL": "553 who are you"},
        {"RCPT": "550 5.1.1 no such person"},
        {"DATA": "554 no valid recipients"},
        {".": "554 5.6.0 this is spam"},
    ],
    ids=str,
)
async def test_what_a_server_will_never_take_is_given_up(
    settings: Config, script: dict[str, str]
) -> None:
    async with scripted(settings, **script):
        with pytest.raises(MailRefused, match=next(iter(script.values()))):
            await deliver(CONFIRMATION)


async def test_an_answer_is_shown_as_one_short_line_without_the_mailed_link(
    settings: Config,
) -> None:
    script = {".": f"554-bad \x1b[31mlink {LINK}?x, and so on {'x' * 3000}\r\n554 second line"}
    async with scripted(settings, **script):
        with pytest.raises(MailRefused) as caught:
            await deliver(CONFIRMATION)
    words = str(caught.value)
    assert "554 bad [31mlink [link] and so on xxx" in words
    assert "second" not in words
    assert len(words) < 300


@pytest.mark.parametrize("moment", ["GREETING", "TLS", "EHLO", "RCPT", "."])
async def test_a_server_that_hangs_is_left_in_time(settings: Config, moment: str) -> None:
    settings.MAIL_TIMEOUT = 0.1
    settings.MAIL_USE_SSL = moment == "TLS"
    async with scripted(settings, **{moment.replace("TLS", "GREETING"): HANG}):
        started = time.monotonic()
        with pytest.raises(MailFailed, match=r"did not answer within 0\.1 seconds"):
            await deliver(CONFIRMATION)
        assert time.monotonic() - started < 1


async def test_a_mail_that_is_taken_has_left_even_if_the_good_bye_fails(settings: Config) -> None:
    for good_bye in (HANG, "421 no", "nonsense"):
        async with scripted(settings, QUIT=good_bye) as received:
            started = time.monotonic()
            await deliver(CONFIRMATION)
            assert time.monotonic() - started < 1.5
        assert received[-1] == "QUIT"


async def test_a_port_where_nobody_listens_is_named(settings: Config) -> None:
    settings.MAIL_PORT = free_port()
    with pytest.raises(MailFailed, match=f"localhost:{settings.MAIL_PORT} cannot be used"):
        await deliver(CONFIRMATION)


async def test_a_connection_that_is_cut_is_tried_again(settings: Config) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    settings.MAIL_PORT = server.sockets[0].getsockname()[1]
    with pytest.raises(MailFailed, match="cannot be used"):
        await deliver(CONFIRMATION)
    server.close()


@pytest.mark.parametrize(
    "answer", ["535 5.7.8 wrong: <echo>", "500 what is <echo>", "454 later <echo>", "<echo>"]
)
async def test_a_refused_log_in_is_our_configuration_and_keeps_the_password_secret(
    settings: Config, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MAIL_USERNAME, settings.MAIL_PASSWORD = "us", PASSWORD
    encoded = base64.b64encode(f"\0us\0{PASSWORD}".encode()).decode()
    caplog.set_level("DEBUG")
    async with scripted(settings, AUTH=answer) as received:
        with pytest.raises(MailFailed) as caught:
            await deliver(CONFIRMATION)
    assert received[1] == f"AUTH PLAIN {encoded}"
    said = "".join(traceback.format_exception(caught.value)) + caplog.text
    for secret in (PASSWORD, encoded, LINK, "canary"):
        assert secret not in said


async def test_one_logs_in_where_a_name_is_set(settings: Config) -> None:
    settings.MAIL_USERNAME, settings.MAIL_PASSWORD = "us", PASSWORD
    async with scripted(settings, AUTH="235 welcome") as received:
        await deliver(CONFIRMATION)
    assert [line.split()[0] for line in received][:4] == ["EHLO", "AUTH", "MAIL", "RCPT"]


@pytest.mark.parametrize(
    ("configured", "envelope_from", "header"),
    [
        ("no-reply@example.org", "no-reply@example.org", "quart-base <no-reply@example.org>"),
        (
            "Acme, Inc. <no-reply@example.org>",
            "no-reply@example.org",
            '"Acme, Inc." <no-reply@example.org>',
        ),
        (
            '"Acme, Inc." <No-Reply@Example.org>',
            "No-Reply@example.org",
            '"Acme, Inc." <No-Reply@example.org>',
        ),
        (
            "Bücher <post@bücher.example>",
            "post@xn--bcher-kva.example",
            "=?utf-8?q?B=C3=BCcher?= <post@xn--bcher-kva.example>",
        ),
    ],
)
async def test_every_server_understands_the_sender(
    settings: Config, configured: str, envelope_from: str, header: str
) -> None:
    inbox = Inbox()
    settings.MAIL_DEFAULT_SENDER = configured
    async with listening(settings, lambda: SMTP(inbox, hostname="localhost")):
        await deliver(CONFIRMATION)
    [envelope] = inbox.envelopes
    assert envelope.mail_from == envelope_from
    assert isinstance(envelope.content, bytes)
    assert f"From: {header}\r\n".encode() in envelope.content
