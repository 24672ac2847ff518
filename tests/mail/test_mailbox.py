"""The development mailbox: who may read it, and what it shows."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app import create_app
from app.config import Config
from app.mail.delivery import deliver
from app.mail.message import Email
from tests.factories.people import log_in, make_person
from tests.processes import production

HERE: dict[str, Any] = {"scope_base": {"client": ("127.0.0.1", 1)}}
LINK = "http://localhost/account/confirm-account/a-token?x=1&y=2"


@pytest.fixture(autouse=True)
async def empty_mailbox(app: Quart, settings: Config, tmp_path: Path) -> AsyncIterator[None]:
    settings.INSTANCE_PATH = tmp_path
    yield


async def send(to: str = "robin@example.com", subject: str = "Confirm your address") -> None:
    await deliver(
        Email(
            to=to,
            subject=subject,
            template="accounts/email/confirmation",
            name="<b>Robin</b>",
            link=LINK,
            time="24 hours",
        )
    )


async def text_of(client: Browser, path: str) -> str:
    response = await client.get(path, **HERE)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


async def addresses(client: Browser) -> list[str]:
    return re.findall(r'href="(/dev/mail/[^"]+)"', await text_of(client, "/dev/mail"))


async def test_an_empty_mailbox_says_what_to_do(client: Browser, settings: Config) -> None:
    assert "No mail yet" in await text_of(client, "/dev/mail")
    settings.MAIL_SERVER = "smtp.example.com"
    assert "MAIL_SERVER is set" in await text_of(client, "/dev/mail")


async def test_mails_are_listed_the_newest_first(client: Browser) -> None:
    for number in range(3):
        await send(to=f"robin{number}@example.com", subject=f"Number {number} & <more>")
    page = await text_of(client, "/dev/mail")
    assert re.findall(r"Number \d &amp; &lt;more&gt;", page) == [
        f"Number {n} &amp; &lt;more&gt;" for n in (2, 1, 0)
    ]
    assert re.findall(r"robin\d@example\.com", page) == [f"robin{n}@example.com" for n in (2, 1, 0)]


async def test_programs_get_exactly_recipients_subject_and_both_parts(client: Browser) -> None:
    response = await client.get("/dev/mail.json", **HERE)
    assert await response.get_json() == []
    await send(to="kim@example.com", subject="Older")
    await send(subject="Newer")
    response = await client.get("/dev/mail.json", **HERE)
    assert response.content_type == "application/json"
    newer, older = await response.get_json()
    assert newer.keys() == older.keys() == {"to", "subject", "text", "html"}
    assert (newer["to"], newer["subject"]) == (["robin@example.com"], "[quart-base] Newer")
    assert (older["to"], older["subject"]) == (["kim@example.com"], "[quart-base] Older")
    assert f"\n{LINK}\n" in newer["text"]
    assert LINK.replace("&", "&amp;") in newer["html"]


async def test_a_mail_shows_its_text_with_links_and_nothing_of_it_is_markup(
    client: Browser,
) -> None:
    await send()
    [address] = await addresses(client)
    page = await text_of(client, address)
    assert f'href="{LINK.replace("&", "&amp;")}"' in page
    assert "&lt;b&gt;Robin&lt;/b&gt;" in page
    assert "<b>" not in page
    assert f'href="{address}/html"' in page
    assert not re.findall(r"<style|\sstyle=", page)


async def test_the_html_of_a_mail_may_bring_styles_and_nothing_else(client: Browser) -> None:
    await send()
    [address] = await addresses(client)
    response = await client.get(f"{address}/html", **HERE)
    assert response.content_type == "text/html; charset=utf-8"
    assert response.headers.getlist("Content-Security-Policy") == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ]
    assert "style=" in await response.get_data(as_text=True)


@pytest.mark.parametrize(
    "request_of_another",
    [
        {"scope_base": {"client": ("192.0.2.9", 1)}},
        {"scope_base": {}},
        HERE | {"headers": {"Host": "rebound.example.com"}},
        HERE | {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        HERE | {"headers": {"X-Forwarded-Host": "localhost"}},
        HERE | {"headers": {"Forwarded": "for=127.0.0.1"}},
    ],
    ids=str,
)
async def test_for_anybody_elsewhere_there_is_no_mailbox(
    client: Browser, request_of_another: dict[str, Any]
) -> None:
    await send()
    [address] = await addresses(client)
    await log_in(client, await make_person(role="administrator"))
    for path in (
        "/dev/mail",
        "/dev/mail.json",
        address,
        f"{address}/html",
        "/dev/mail/no-such-mail",
    ):
        response = await client.get(path, **request_of_another)
        assert response.status_code == 404, path
        assert LINK.encode() not in await response.get_data()
    assert b"/dev/mail" not in await (await client.get("/", **request_of_another)).get_data()
    assert 'href="/dev/mail"' in await text_of(client, "/")


async def test_the_mailbox_knows_who_is_signed_in(client: Browser) -> None:
    await send()
    assert "/account/login" in await text_of(client, "/dev/mail")
    await log_in(client, await make_person(first_name="Robin"))
    [address] = await addresses(client)
    for path in ("/dev/mail", address):
        page = await text_of(client, path)
        assert "Log out" in page
        assert "/account/login" not in page
        assert "/account/register" not in page


async def test_one_need_not_be_confirmed_to_read_the_mail_that_one_confirms_with(
    client: Browser,
) -> None:
    await log_in(client, await make_person(confirmed=False))
    await send()
    [address] = await addresses(client)
    assert LINK.replace("&", "&amp;") in await text_of(client, address)


@pytest.mark.parametrize(
    "name",
    [
        "no-such-mail",
        "..%2Fsecret",
        "%2e%2e%2fsecret",
        "..%5Csecret",
        "../secret",
        "..",
        "*",
        "secret",
        "..%2Fmail%2F{}",
        "{}.eml",
    ],
)
async def test_no_other_file_can_be_had(client: Browser, tmp_path: Path, name: str) -> None:
    await send()
    [address] = await addresses(client)
    for file in (tmp_path / "secret.eml", tmp_path / "secret", tmp_path / "mail" / "secret.txt"):
        file.write_text("From: a@b.c\nTo: a@b.c\nSubject: secret\n\nsecret words")
    for path in (f"/dev/mail/{name}", f"/dev/mail/{name}/html"):
        response = await client.get(path.format(address.rpartition("/")[2]), **HERE)
        assert response.status_code == 404, path
        assert b"secret words" not in await response.get_data()


def test_there_is_a_mailbox_in_testing_and_development_and_none_in_production(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in production(f"sqlite:///{tmp_path / 'test.sqlite3'}").items():
        monkeypatch.setenv(name, value)
    found = {
        name: sum(rule.rule.startswith("/dev") for rule in create_app(name).url_map.iter_rules())
        for name in ("development", "production", "testing")
    }
    assert found == {"development": 4, "production": 0, "testing": 4}
