"""What browsers, password managers and search engines expect at fixed paths."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.config import Config, load_settings
from app.errors import ConfigurationError
from app.validators import security_contact
from tests.web.callers import callers


async def test_password_managers_find_the_page_to_change_the_password(app: Quart) -> None:
    browsers = await callers(app)
    for browser in browsers.values():
        response = await browser.get("/.well-known/change-password")
        assert response.status_code == 303
        assert response.headers["Location"] == "/account/manage/change-password"
    response = await browsers["member"].get("/account/manage/change-password")
    assert response.status_code == 200
    # By which they tell sites that answer 200 to everything:
    path = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    assert (await browsers["member"].get(path)).status_code == 404


@pytest.mark.parametrize(
    ("path", "kind", "begins"),
    [
        ("/robots.txt", "text/plain", b"#"),
        ("/favicon.ico", ("image/vnd.microsoft.icon", "image/x-icon"), b"\0\0\1\0\1\0"),
    ],
)
async def test_files_at_the_root_are_served_and_cached(
    client: Browser, path: str, kind: str | tuple[str, ...], begins: bytes
) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.mimetype in kind
    assert response.headers["Cache-Control"] == "public, max-age=86400"
    assert (await response.get_data(as_text=False)).startswith(begins)
    assert (await client.head(path)).status_code == 200


async def test_search_engines_stay_out_of_accounts(client: Browser) -> None:
    rules = await (await client.get("/robots.txt")).get_data(as_text=True)
    for path in ("/account/", "/admin/", "/api/"):
        assert f"\nDisallow: {path}\n" in rules


async def test_security_txt_says_where_to_report(client: Browser, settings: Config) -> None:
    assert (await client.get("/.well-known/security.txt")).status_code == 404
    settings.SECURITY_CONTACT = "mailto:security@example.com"
    response = await client.get("/.well-known/security.txt")
    assert (response.status_code, response.content_type) == (200, "text/plain; charset=utf-8")
    text = await response.get_data(as_text=True)
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    assert fields["Contact"] == "mailto:security@example.com"
    assert fields["Canonical"] == f"{settings.BASE_URL}/.well-known/security.txt"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", fields["Expires"])
    until = datetime.fromisoformat(fields["Expires"]) - datetime.now(UTC)
    assert timedelta(days=150) < until < timedelta(days=365)


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("security@example.com", "mailto:security@example.com"),
        (" security@example.com ", "mailto:security@example.com"),
        ("mailto:security@example.com", "mailto:security@example.com"),
        ("MAILTO:security@example.com?subject=Hole", "mailto:security@example.com?subject=Hole"),
        ("https://example.com/security", "https://example.com/security"),
        ("HTTPS://example.com/@security", "https://example.com/@security"),
        ("tel:+1-201-555-0123", "tel:+1-201-555-0123"),
    ],
)
def test_a_contact_is_a_uri(value: str, uri: str) -> None:
    assert security_contact(value) == uri


@pytest.mark.parametrize(
    "value",
    [
        "http://example.com/security",
        "https://",
        "https:example.com",
        "https://example.com/a b",
        "https://example.com/\nContact: mailto:evil@example.com",
        "mailto:",
        "mailto:nobody",
        "mailto:a@example.com?subject=a\nContact: mailto:evil@example.com",
        "tel:",
        "tel:help",
        "security",
        "ftp://a@example.com/",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_contact_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SECURITY_CONTACT", value)
    with pytest.raises(ConfigurationError, match="SECURITY_CONTACT"):
        load_settings("testing")
