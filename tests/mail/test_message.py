"""What a mail looks like, and which mails are refused."""

from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from quart import Quart

from app.config import Config, load_settings
from app.health.probes import find
from app.jobs.context import GiveUp, Leased, current
from app.jobs.engine.leases import complete
from app.mail.delivery import deliver
from app.mail.mailbox import KEPT, captured_emails
from app.mail.message import Email, MailFailed, compose, link
from app.mail.probes import mail
from app.web.access import unidentified, unlimited
from development.preparation import prepare_to_serve
from tests.conftest import MakeApp
from tests.processes import production

NAME = "<b>Robin</b> & co"
LINK = "http://localhost/account/confirm-account/a-token?x=1&y=2"


@pytest.fixture
def mail_app(make_app: MakeApp, tmp_path: Path) -> Quart:
    """Create an app that needs no database, with an empty mailbox."""
    app = make_app()
    app.extensions["settings"].INSTANCE_PATH = tmp_path / "instance"
    return app


@pytest.fixture
async def settings(mail_app: Quart) -> AsyncIterator[Config]:
    async with mail_app.app_context():
        settings: Config = mail_app.extensions["settings"]
        yield settings


def confirmation(to: str = "robin@example.com", subject: str = "Confirm your address") -> Email:
    return Email(
        to=to,
        subject=subject,
        template="accounts/email/confirmation",
        name=NAME,
        link=LINK,
        time="24 hours",
    )


async def composed_by_job(
    number: UUID, email: Email | None = None, attempt: int = 1
) -> EmailMessage:
    token = current.set(
        Leased(number, "accounts.send_confirmation", {}, attempt, attempt, complete)
    )
    try:
        return await compose(email or confirmation())
    finally:
        current.reset(token)


async def test_a_mail_says_who_what_and_when_and_that_no_person_wrote_it(settings: Config) -> None:
    message = await compose(confirmation())
    assert message["From"] == "quart-base <admin@example.com>"
    assert message["To"] == "robin@example.com"
    assert message["Subject"] == "[quart-base] Confirm your address"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.tzinfo is not None
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


async def test_the_text_is_plain_and_the_html_escaped_and_both_have_the_link(
    settings: Config,
) -> None:
    text, html = [part.get_content() for part in (await compose(confirmation())).iter_parts()]
    assert "<b>Robin</b> & co" in text
    assert f"\n{LINK}\n" in text.replace("\r\n", "\n")
    assert "&lt;b&gt;Robin&lt;/b&gt; &amp; co" in html
    assert "<b>" not in html
    escaped = LINK.replace("&", "&amp;")
    assert html.count(f'href="{escaped}"') == 2
    assert f">{escaped}</a>" in html, "the link as text"
    assert "quart-base" in text
    assert "quart-base" in html


@pytest.mark.parametrize(
    ("configured", "shown"),
    [
        ("no-reply@example.org", "quart-base <no-reply@example.org>"),
        ('"The Team, Ltd" <team@example.org>', '"The Team, Ltd" <team@example.org>'),
        ("Équipe <team@example.org>", "Équipe <team@example.org>"),
        ("root@localhost", "quart-base <root@localhost>"),
    ],
)
async def test_the_sender_is_as_configured(settings: Config, configured: str, shown: str) -> None:
    settings.MAIL_DEFAULT_SENDER = configured
    assert (await compose(confirmation()))["From"] == shown


async def test_a_job_that_runs_again_sends_the_same_message_id(settings: Config) -> None:
    number = uuid4()
    first = (await composed_by_job(number))["Message-ID"]
    assert first.startswith(f"<{number}.")
    assert first.endswith("@localhost>")
    assert (await composed_by_job(number, attempt=2))["Message-ID"] == first
    others = [
        await composed_by_job(uuid4()),
        await composed_by_job(number, confirmation(to="kim@example.com")),
        await composed_by_job(number, confirmation(subject="Another")),
        await compose(confirmation()),
        await compose(confirmation()),
    ]
    assert len({first, *(message["Message-ID"] for message in others)}) == 6


async def test_a_long_message_id_stays_what_it_is_on_the_way(settings: Config) -> None:
    settings.BASE_URL = f"https://{'long.' * 12}example.com"
    message = await composed_by_job(uuid4())
    assert f"Message-ID: {message['Message-ID']}\r\n".encode() in message.as_bytes()


@pytest.mark.parametrize(
    "to",
    [
        "robin@example.com\r\nBcc: all@example.com",
        "robin@example.com\n",
        "robin\x00@example.com",
        "robin@example.com, kim@example.com",
        "Robin <robin@example.com>",
        "robin@example.com\u2028",
        "robin",
        "",
        "=?utf-8?q?all=40example.org=2C?=@example.com",
    ],
)
def test_an_address_that_would_be_more_than_one_is_refused(to: str) -> None:
    with pytest.raises(GiveUp):
        confirmation(to=to)


ENCODED = "=?utf-8?q?x=0d=0aBcc=3A_all=40example.com?="


@pytest.mark.parametrize(
    "end",
    ["\r\nBcc: all@example.com", "\n", "\r", "\x00", "\x0b", "\x85", "\u2029", "\x1b[2J", ENCODED],
)
def test_a_subject_of_more_than_one_line_is_refused(end: str) -> None:
    with pytest.raises(GiveUp):
        confirmation(subject=f"Confirm{end}")


@pytest.mark.parametrize("name", ["APP_NAME", "MAIL_DEFAULT_SENDER"])
@pytest.mark.parametrize("end", ["\r\nBcc: all@example.com", "\x00", ENCODED])
async def test_a_configured_name_cannot_add_headers_either(
    settings: Config, name: str, end: str
) -> None:
    setattr(settings, name, f"Us <us@example.com>{end}")
    with pytest.raises(MailFailed, match=name):
        await compose(confirmation())


@pytest.mark.parametrize("sender", ["nobody", "no body@example.com", "<>"])
async def test_a_sender_that_is_no_address_is_named(settings: Config, sender: str) -> None:
    settings.MAIL_DEFAULT_SENDER = sender
    with pytest.raises(MailFailed, match="MAIL_DEFAULT_SENDER"):
        await compose(confirmation())


async def test_subjects_and_names_of_any_language_arrive(settings: Config) -> None:
    settings.APP_NAME = "Größe 👩‍💻"
    subject = "Ваш адрес — " * 8 + "!"
    await deliver(confirmation(to="jörg@bücher.example", subject=subject))
    [mail] = captured_emails(settings)
    assert (mail.subject, mail.to) == (f"[Größe 👩‍💻] {subject}", ["jörg@bücher.example"])
    assert mail.sender == "Größe 👩‍💻 <admin@example.com>"


@pytest.mark.parametrize("base_url", ["https://app.example.com", "http://app.example.com:8443"])
@pytest.mark.parametrize("forged", ["Host", "X-Forwarded-Host"])
async def test_links_begin_with_base_url_whatever_a_request_says(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, base_url: str, forged: str
) -> None:
    monkeypatch.setenv("BASE_URL", base_url)
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    app = make_app()

    @app.get("/link")
    @unidentified
    @unlimited
    async def linked() -> str:
        return link("accounts.login", next="/a b")

    headers = {
        "Host": "app.example.com",
        "X-Forwarded-Proto": base_url.partition(":")[0],
        forged: "evil.example",
    }
    response = await app.test_client().get(
        "/link", headers=headers, scope_base={"client": ("127.0.0.1", 1)}
    )
    assert await response.get_data(as_text=True) == f"{base_url}/account/login?next=/a+b"
    async with app.app_context():  # as in a job
        assert link("accounts.login") == f"{base_url}/account/login"


async def test_the_mailbox_is_private_and_keeps_the_newest(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KEPT == 500
    monkeypatch.setattr("app.mail.mailbox.KEPT", 3)
    assert captured_emails(settings) == []
    for number in range(5):
        await deliver(confirmation(subject=f"Number {number}"))
    assert [mail.subject for mail in captured_emails(settings)] == [
        f"[quart-base] Number {n}" for n in (4, 3, 2)
    ]
    folder = settings.INSTANCE_PATH / "mail"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.suffix for path in folder.iterdir()} == {".eml"}


async def test_a_mail_that_vanishes_meanwhile_is_left_out(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await deliver(confirmation())
    read = Path.read_bytes
    gone = min((settings.INSTANCE_PATH / "mail").iterdir())

    def read_or_not(path: Path) -> bytes:
        gone.unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_or_not)
    assert len(captured_emails(settings)) == 1


async def test_in_production_a_mail_waits_for_a_server(
    mail_app: Quart, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(mail_app.extensions, "capture_email")  # production does not register it
    settings.ADMIN_EMAIL = None  # as there
    with pytest.raises(MailFailed, match="MAIL_SERVER is not set"):
        await deliver(confirmation())
    assert captured_emails(settings) == []


async def test_a_production_that_cannot_mail_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in production(f"sqlite:///{tmp_path / 'test.sqlite3'}").items():
        monkeypatch.setenv(name, value)
    found = {
        name: [each.id for each in await find(load_settings(name), mail)]
        for name in ("development", "production")
    }
    assert found == {"development": [], "production": ["qb.W002"]}


@pytest.mark.parametrize("server", ["", "smtp.example.com"])
async def test_serve_says_where_mail_is_to_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str
) -> None:
    monkeypatch.setenv("DEV_DATABASE_URL", f"sqlite:///{tmp_path / 'test.sqlite3'}")
    monkeypatch.setenv("INSTANCE_PATH", str(tmp_path))
    monkeypatch.setenv("MAIL_SERVER", server)
    monkeypatch.setenv("PORT", "8123")
    said = "\n".join(await prepare_to_serve("development"))
    assert ("http://localhost:8123/dev/mail" in said) is (not server)
