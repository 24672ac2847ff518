"""What tells installations apart: in a browser, in Redis, on a machine."""

import re
from pathlib import Path

import pytest

from app import environment
from app.config import Config, load_settings
from app.errors import ConfigurationError
from app.validators import redis_url


@pytest.fixture
def clear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any of our variables."""
    for name in (*Config.model_fields, "REDISTOGO_URL", "DEV_DATABASE_URL", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INSTANCE_PATH", str(tmp_path / "instance"))
    monkeypatch.setattr(environment, "FILES", ())


@pytest.fixture
def production(clear: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example/app")
    monkeypatch.setenv("REDIS_URL", "redis://:canary@cache.example:6379/2")
    monkeypatch.setenv("BASE_URL", "https://app.example.com")


def test_each_installation_has_a_name_in_cookies_and_redis(
    production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = load_settings("production"), load_settings("production")
    assert re.fullmatch("[0-9a-f]{8}", first.INSTALLATION_ID)
    assert (
        first.INSTALLATION_ID,
        f"qb-{first.INSTALLATION_ID}:",
    ) == (again.INSTALLATION_ID, again.REDIS_PREFIX)
    monkeypatch.setenv("BASE_URL", "https://staging.example.com")
    assert load_settings("production").INSTALLATION_ID != first.INSTALLATION_ID
    monkeypatch.setenv("INSTALLATION_ID", "shop2")
    assert load_settings("production").REDIS_PREFIX == "qb-shop2:"
    monkeypatch.setenv("REDIS_PREFIX", "acme/shop:")
    assert load_settings("production").redis_key("known") == "acme/shop:known"


def test_two_checkouts_have_two_names_and_each_keeps_its_own(
    clear: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = load_settings("development")
    assert load_settings("development").INSTALLATION_ID == first.INSTALLATION_ID
    monkeypatch.setenv("INSTANCE_PATH", str(tmp_path / "another"))
    assert load_settings("development").INSTALLATION_ID != first.INSTALLATION_ID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("REDIS_PREFIX", value) for value in ("a b", "a*", "a?", "[a]", "a\\", "ä:")),
        ("REDIS_PREFIX", "x" * 65),
        *(("INSTALLATION_ID", value) for value in ("A", "a;b", "a b", "x" * 17, "ä")),
        ("HSTS_SECONDS", "-1"),
        ("HSTS_SECONDS", "1 year"),
        ("HSTS_SECONDS", str(10**12)),
        ("HSTS_INCLUDE_SUBDOMAINS", "perhaps"),
        ("REDIS_VERIFY_CERTIFICATE", "false"),  # without TLS
        ("REDIS_VERIFY_CERTIFICATE", "perhaps"),
        ("REDIS_PASSWORD", "another"),  # beside the one in REDIS_URL
    ],
)
def test_names_and_promises_that_cannot_be_are_refused(
    production: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"1 variable is wrong:\n  {name}: got ") as raised:
        load_settings("production")
    assert "canary" not in raised.value.message


def test_a_password_of_redis_may_stand_beside_its_url(
    production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://cache.example/2")
    monkeypatch.setenv("REDIS_PASSWORD", "p#x@y/z:%?&= ü")
    settings = load_settings("production")
    assert redis_url.options(settings.REDIS_URL)["password"] == "p#x@y/z:%?&= ü"
    monkeypatch.delenv("REDIS_URL")
    with pytest.raises(ConfigurationError, match="embedded Valkey has no password"):
        load_settings("development")
