"""Strict-Transport-Security: what browsers remember of a host for as long as it says."""

import pytest

from app import create_app

YEAR = 365 * 24 * 60 * 60


@pytest.mark.parametrize(
    ("configuration", "variables", "expected"),
    [
        ("testing", {}, None),
        ("testing", {"HSTS_SECONDS": "60"}, "max-age=60"),
        ("production", {}, f"max-age={YEAR}"),
        ("production", {"HSTS_SECONDS": "0"}, None),
        ("production", {"HSTS_SECONDS": "0", "HSTS_INCLUDE_SUBDOMAINS": "true"}, None),
        (
            "production",
            {"HSTS_INCLUDE_SUBDOMAINS": "true"},
            f"max-age={YEAR}; includeSubDomains",
        ),
        ("production", {"BASE_URL": "http://app.example.com"}, None),
    ],
)
async def test_only_as_much_is_promised_as_was_set(
    monkeypatch: pytest.MonkeyPatch,
    configuration: str,
    variables: dict[str, str],
    expected: str | None,
) -> None:
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("BASE_URL", "https://app.example.com")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = create_app(configuration).test_client()
    for scheme in ("https", "http"):  # a redirect is a response like any other
        response = await client.get("/livez", scheme=scheme)
        assert response.headers.get("Strict-Transport-Security") == expected
