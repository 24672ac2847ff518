"""The configuration registry and `.env`."""

import os
from pathlib import Path

import pytest
from pydantic import model_validator

from app import create_app, environment
from app.config import (
    Config,
    DevelopmentConfig,
    HerokuConfig,
    ProductionConfig,
    TestingConfig,
    UnixConfig,
    config,
    generated_secret_key,
    load_settings,
)
from app.errors import ConfigurationError
from app.validators import redis_url
from app.validators.database_url import database_url
from app.validators.origins import base_url

PRODUCTION = {
    "SECRET_KEY": "k" * 32,
    "DATABASE_URL": "postgres://app:canary@db.example/app",
    "REDIS_URL": "redis://:canary@cache.example:6379/2",
    "BASE_URL": "https://app.example.com",
}


@pytest.fixture
def clear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any of our variables, in an empty folder."""
    others = (
        "DEV_DATABASE_URL",
        "TEST_DATABASE_URL",
        "REDISTOGO_URL",
        "QUART_CONFIG",
        "FLASK_CONFIG",
        "PORT",
    )
    for name in (*Config.model_fields, *others):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INSTANCE_PATH", str(tmp_path / "instance"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "FILES", (".env", "config.env"))
    monkeypatch.setattr(environment, "PROJECT_ROOT", tmp_path / "project")


@pytest.fixture
def production(clear: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)


def test_the_registry_holds_six_names() -> None:
    assert config == {
        "development": DevelopmentConfig,
        "testing": TestingConfig,
        "production": ProductionConfig,
        "heroku": HerokuConfig,
        "unix": UnixConfig,
        "default": DevelopmentConfig,
    }


def test_development_needs_nothing(clear: None, tmp_path: Path) -> None:
    settings = load_settings("development")
    assert f"sqlite+aiosqlite:///{tmp_path}/instance/development.sqlite3" == settings.DATABASE_URL
    assert settings.REDIS_URL.startswith("unix://")
    assert settings.embedded_valkey
    assert settings.BASE_URL == "http://localhost:8000"
    assert not settings.secure


def test_developments_secret_key_is_made_once_and_for_its_owner_only(
    clear: None, tmp_path: Path
) -> None:
    first, second = load_settings("development"), load_settings("development")
    assert first.SECRET_KEY == second.SECRET_KEY
    assert len(first.SECRET_KEY) >= 32
    key = tmp_path / "instance" / "secret_key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in key.parent.iterdir()} == {"secret_key", "installation"}


def test_a_secret_key_that_another_process_made_first_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret_key").write_text("theirs\n")
    monkeypatch.setattr(Path, "exists", lambda path: False)  # it was made after we looked
    assert generated_secret_key(tmp_path) == "theirs"


def test_production_takes_what_it_is_given(production: None) -> None:
    settings = load_settings("production")
    assert settings.DATABASE_URL == "postgresql+asyncpg://app:canary@db.example/app"
    assert (settings.secure, settings.LOG_FORMAT, settings.TRUSTED_PROXIES) == (True, "json", 0)
    assert settings.ADMIN_PASSWORD is None


def test_production_names_everything_that_is_missing_at_once(clear: None) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_settings("production")
    for name in PRODUCTION:
        assert f"{name}: is not set. Expected:" in raised.value.message


def test_every_mistake_is_named_with_what_it_got_and_what_it_takes(
    production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {
        "SECRET_KEY": "too-short-canary",
        "DATABASE_URL": "mysql://root:canary@host/name",
        "REDIS_URL": "http://:canary@host",
        "BASE_URL": "app.example.com",
        "MAIL_PORT": "many",
        "MAIL_USE_TLS": "perhaps",
        "LOG_LEVEL": "LOUD",
        "LOGIN_LIMIT_ACCOUNT": "often",
        "CORS_ORIGINS": "https://one.example,two.example/path",
        "TRUSTED_PROXIES": "-1",
        "ADMIN_EMAIL": "boss",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        load_settings("production")
    lines = {line.split(":")[0].strip(): line for line in raised.value.message.splitlines()[1:]}
    assert lines.keys() == wrong.keys()
    assert "got 'many'" in lines["MAIL_PORT"]
    assert "Expected: " in lines["MAIL_PORT"]
    assert "should be greater than or equal to 0" in lines["TRUSTED_PROXIES"]
    assert "canary" not in raised.value.message


def test_an_unknown_configuration_names_the_known_ones(clear: None) -> None:
    with pytest.raises(ConfigurationError, match=r"no configuration named 'prod'.*production"):
        load_settings("prod")


def test_the_environment_chooses_the_configuration(
    clear: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().NAME == "development"
    monkeypatch.setenv("FLASK_CONFIG", "testing")
    assert load_settings().NAME == "testing"
    monkeypatch.setenv("QUART_CONFIG", "development")
    assert load_settings().NAME == "development"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("False", False), ("0", False), ("off", False), ("True", True), ("1", True)],
)
def test_a_boolean_is_what_it_says(
    production: None, monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("MAIL_USE_TLS", value)
    assert load_settings("production").MAIL_USE_TLS is expected


def test_an_empty_value_counts_as_unset(production: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PORT", "")
    assert load_settings("production").MAIL_PORT == 587
    monkeypatch.setenv("SECRET_KEY", "")
    with pytest.raises(ConfigurationError, match="SECRET_KEY: is not set"):
        load_settings("production")


def test_developments_own_database_comes_before_the_shared_variable(
    clear: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/shared")
    assert load_settings("development").DATABASE_URL.endswith("/shared")
    monkeypatch.setenv("DEV_DATABASE_URL", "postgresql://localhost/mine")
    assert load_settings("development").DATABASE_URL.endswith("/mine")


def test_testing_never_sees_another_database(clear: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/real")
    monkeypatch.setenv("DEV_DATABASE_URL", "postgresql://localhost/real")
    assert "real" not in load_settings("testing").DATABASE_URL
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://localhost/for_tests")
    assert load_settings("testing").DATABASE_URL.endswith("/for_tests")


def test_redistogo_stands_in_for_redis_url(
    production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("REDISTOGO_URL", "redis://to.go:1234")
    assert load_settings("production").REDIS_URL == "redis://to.go:1234"


def test_heroku_believes_one_proxy_and_unix_logs_to_syslog(production: None) -> None:
    assert load_settings("heroku").TRUSTED_PROXIES == 1
    assert load_settings("unix").SYSLOG


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://h/d", "postgresql+asyncpg://h/d"),
        (
            "postgresql://u:p%40@h:1/d?sslmode=require",
            "postgresql+asyncpg://u:p%40@h:1/d?sslmode=require",
        ),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
        ("sqlite:///a.sqlite3", "sqlite+aiosqlite:///a.sqlite3"),
    ],
)
def test_database_addresses_get_their_asynchronous_driver(given: str, expected: str) -> None:
    assert database_url(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "redis://:canary?x@host:6379/0",
        "redis://:canary#x@host:6379/0",
        "redis://:canary/x@host:6379/0",
        "redis://host:port/0",
        "redis://host:6379/zero",
        "redis://host:6379/0?nonsense=1",
        "http://host",
        "unix://",
    ],
)
def test_redis_addresses_that_cannot_work_are_refused_without_their_password(given: str) -> None:
    with pytest.raises(ValueError, match=r".+") as raised:
        redis_url.validate(given)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        "https://u:p@a.example",
        "https://a.example:99999",
        "https://a b",
        "https://",
        "a.example",
        "https://a.example/x",
    ],
)
def test_a_base_url_is_the_url_of_a_site(given: str) -> None:
    with pytest.raises(ValueError, match=r"such as|user|port|no spaces|host is missing"):
        base_url(given)


def test_secrets_that_protect_nothing_are_refused(
    production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", " " * 40)
    monkeypatch.setenv("SECRET_KEY_FALLBACKS", "x")
    with pytest.raises(ConfigurationError) as raised:
        load_settings("production")
    assert "SECRET_KEY:" in raised.value.message
    assert "SECRET_KEY_FALLBACKS:" in raised.value.message


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        "sqlite://",
        "postgresql://host",
        "postgresql://h/d?channel_binding=require",
        "postgres://u:a@b@host/x",
        "postgres://h:99999/d",
    ],
)
def test_addresses_that_cannot_work_are_refused_at_once(given: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        database_url(given)


def test_dotenv_reaches_the_environment_with_its_values_whole(
    clear: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "QB_EQUALS",
        "QB_HASH",
        "QB_SINGLE",
        "QB_BOTH",
        "QB_REAL",
        "QB_EMPTY",
        "QB_BLANK",
        "QB_LATER",
        "QB_DOLLAR",
    )
    for name in names:
        monkeypatch.setenv(name, "")  # so that monkeypatch puts it back
    (tmp_path / ".env").write_text(
        "QB_EQUALS=a=b==c\n"
        'QB_HASH="with # inside" # a comment\n'
        "QB_SINGLE='it is \"quoted\"'\n"
        "export QB_BOTH=first\n"
        "QB_REAL=from the file\n"
        "QB_EMPTY=\n"
        "QB_BLANK=filled\n"
        "QB_DOLLAR='a${QB_REAL}b'\n"
    )
    (tmp_path / "config.env").write_text("QB_BOTH=second\nQB_LATER=flask-base's file\n")
    monkeypatch.setenv("QB_REAL", "from the environment")
    environment.load_environment()
    assert [os.getenv(name) for name in names] == [
        "a=b==c",
        "with # inside",
        'it is "quoted"',
        "first",
        "from the environment",
        "",
        "filled",
        "flask-base's file",
        "a${QB_REAL}b",
    ]


def test_a_dotenv_that_is_no_text_is_named(clear: None, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8 text"):
        environment.load_environment()


def test_dotenv_chooses_the_configuration_of_create_app(
    clear: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("QUART_CONFIG", "APP_NAME"):
        monkeypatch.setenv(name, "")
    (tmp_path / ".env").write_text("QUART_CONFIG=testing\nAPP_NAME=From the file\n")
    app = create_app()
    assert (app.config["TESTING"], app.config["APP_NAME"]) == (True, "From the file")


def test_two_apps_with_different_configurations_live_in_one_process(production: None) -> None:
    one, other = create_app("testing"), create_app("production")
    assert (one.config["TESTING"], other.config["TESTING"]) == (True, False)
    assert one.config["DATABASE_URL"] != other.config["DATABASE_URL"]
    assert one.extensions["database"] is not other.extensions["database"]


def test_settings_land_in_the_apps_config(production: None) -> None:
    app = create_app("production")
    assert {name: app.config[name] for name in Config.model_fields} == load_settings(
        "production"
    ).model_dump()


def test_secrets_are_in_no_repr(production: None) -> None:
    assert "canary" not in repr(load_settings("production"))
    assert "k" * 32 not in repr(load_settings("production"))


def test_a_check_of_ones_own_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ours(TestingConfig):
        @model_validator(mode="after")
        def _check(self) -> "Ours":
            raise ValueError("SHOP_OPENS is later than SHOP_CLOSES")

    monkeypatch.setitem(config, "ours", Ours)
    with pytest.raises(ConfigurationError) as raised:
        load_settings("ours")
    assert raised.value.message == (
        "The testing configuration cannot be used:\n  SHOP_OPENS is later than SHOP_CLOSES"
    )
