"""The named configurations, and the proxy to the settings of the current application.

The settings themselves stand in `app.settings.fields`, by subject.
"""

import hashlib
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, ClassVar, Self, cast

from pydantic import AliasChoices, ValidationError, field_validator, model_validator
from quart import current_app
from sqlalchemy import make_url
from werkzeug.local import LocalProxy

from app.environment import (
    absolute,
    chosen_config,
    embedded_redis_url,
    first_that_is_set,
    instance_path,
    port,
)
from app.errors import ConfigurationError, Problem
from app.settings.agreement import require_agreement
from app.settings.errors import explain
from app.settings.fields import (
    DatabaseSettings,
    JobSettings,
    LimitSettings,
    LogSettings,
    MailSettings,
    PasswordSettings,
    RedisSettings,
    SessionSettings,
    SiteSettings,
    variables,
)
from app.settings.types import (
    DAY,
    HOUR,
    MINUTE,
    DatabaseURL,
    Email,
    Installation,
    LogFormat,
    Secret,
    Site,
    setting,
)
from app.validators import redis_url
from app.validators.database_url import sqlite_url

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "Config",
    "config",
    "load_settings",
    "refuse_production",
    "settings",
]

# Development only: it logs in from loopback only.
DEFAULT_ADMIN_PASSWORD = "password"  # noqa: S105
DEFAULT_ADMIN_EMAIL = "admin@example.com"


class Config(
    SiteSettings,
    SessionSettings,
    PasswordSettings,
    DatabaseSettings,
    RedisSettings,
    JobSettings,
    LimitSettings,
    MailSettings,
    LogSettings,
):
    """The settings of every configuration, and what follows from them."""

    NAME: ClassVar[str] = "default"
    DEBUG: ClassVar[bool] = False
    TESTING: ClassVar[bool] = False
    PRODUCTION: ClassVar[bool] = False
    SYSLOG: ClassVar[bool] = False

    @field_validator("INSTANCE_PATH")
    @classmethod
    def _absolute_folder(cls, value: Path) -> Path:
        return absolute(value, "INSTANCE_PATH")

    @field_validator("DATABASE_URL")
    @classmethod
    def _absolute_file(cls, value: str) -> str:
        url = make_url(value)
        if url.get_backend_name() != "sqlite" or str(url.database).startswith("file:"):
            return value
        read = first_that_is_set(*variables(cls, "DATABASE_URL")) or ""
        file = absolute(str(url.database), read)
        return url.set(database=str(file)).render_as_string(hide_password=False)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        require_agreement(self, production=self.PRODUCTION)
        return self

    @model_validator(mode="after")
    def _derive(self) -> Self:
        """Name what this installation shares a machine, a browser or a Redis server with."""
        if not self.INSTALLATION_ID:
            # In production, processes that share no folder have to agree on one.
            site = self.BASE_URL.partition("://")[2]
            self.INSTALLATION_ID = hashlib.sha256(site.encode()).hexdigest()[:8]
        if not self.REDIS_PREFIX:
            self.REDIS_PREFIX = f"qb-{self.INSTALLATION_ID}:"
        self.REDIS_URL = redis_url.complete(
            self.REDIS_URL,
            redis_password=self.REDIS_PASSWORD,
            redis_verify_certificate=self.REDIS_VERIFY_CERTIFICATE,
        )
        return self

    @property
    def secure(self) -> bool:
        """Whether the site is served over https.

        Decides about Secure cookies, HSTS and the redirect to https.
        """
        return self.BASE_URL.startswith("https://")

    @property
    def sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.DATABASE_URL.startswith("sqlite")

    @property
    def embedded_valkey(self) -> bool:
        """Whether Redis is the embedded Valkey rather than a configured server."""
        return embedded_redis_url(self.INSTANCE_PATH) == self.REDIS_URL

    def redis_key(self, name: str) -> str:
        """Return the full name of a key or channel in Redis."""
        return self.REDIS_PREFIX + name

    def for_quart(self) -> dict[str, Any]:
        """Return all values under their own names, for `app.config`."""
        return {
            **self.model_dump(),
            "DEBUG": self.DEBUG,
            "TESTING": self.TESTING,
            "CONFIG_NAME": self.NAME,
        }


class DevelopmentConfig(Config):
    """Development on one's own machine: every setting has a default, no server is needed."""

    NAME = "development"
    DEBUG = True

    DATABASE_URL: DatabaseURL = setting(
        None,
        "postgresql://user:password@host/name or sqlite:///path/to/file.sqlite3",
        secret=True,
        validation_alias=AliasChoices("DEV_DATABASE_URL", "DATABASE_URL"),
    )
    ADMIN_EMAIL: Email | None = setting(
        DEFAULT_ADMIN_EMAIL, "email address of the first administrator", max_length=254
    )
    ADMIN_PASSWORD: str | None = setting(
        DEFAULT_ADMIN_PASSWORD,
        "password of the first administrator; the default logs in from loopback only",
        secret=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        instance = instance_path()
        values.setdefault("BASE_URL", f"http://localhost:{port() or 8000}")
        if not {"DATABASE_URL", "DEV_DATABASE_URL"} & values.keys():
            values["DATABASE_URL"] = sqlite_url(instance / "development.sqlite3")
        if not {"REDIS_URL", "REDISTOGO_URL"} & values.keys():
            values["REDIS_URL"] = embedded_redis_url(instance)
        if "SECRET_KEY" not in values:
            values["SECRET_KEY"] = generated_secret_key(instance)
        if "INSTALLATION_ID" not in values:
            # Two checkouts on one machine share localhost's cookies, whatever their ports.
            values["INSTALLATION_ID"] = _generated(instance, "installation", secrets.token_hex(4))
        return values


class TestingConfig(Config):
    """The test suite: its own database, cheap password hashes."""

    __test__ = False  # not a test class, whatever its name
    NAME = "testing"
    TESTING = True

    BASE_URL: Site = setting("http://localhost", "the public URL of the site")
    INSTALLATION_ID: Installation = setting("testing", "name of this installation")
    SECRET_KEY: Secret = setting(
        "testing-testing-testing-testing-testing",
        "at least 32 characters",
        secret=True,
    )
    DATABASE_URL: DatabaseURL = setting(
        None,
        "URL of a database that only the tests use",
        secret=True,
        validation_alias="TEST_DATABASE_URL",
    )
    ADMIN_EMAIL: Email | None = setting(
        DEFAULT_ADMIN_EMAIL, "email address of the first administrator", max_length=254
    )
    ADMIN_PASSWORD: str | None = setting(
        DEFAULT_ADMIN_PASSWORD, "password of the first administrator", secret=True
    )
    ARGON2_MEMORY_COST: int = setting(8, "argon2id memory cost in KiB", ge=8, le=4 * 1024**2)
    ARGON2_TIME_COST: int = setting(1, "argon2id time cost, the number of passes", ge=1, le=100)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        instance = instance_path()
        values.pop("DATABASE_URL", None)
        values.setdefault("TEST_DATABASE_URL", sqlite_url(instance / "test.sqlite3"))
        if not {"REDIS_URL", "REDISTOGO_URL"} & values.keys():
            values["REDIS_URL"] = embedded_redis_url(instance)
        return values


class ProductionConfig(Config):
    """A public server: settings without a safe default are required."""

    NAME = "production"
    PRODUCTION = True

    LOG_FORMAT: LogFormat = setting("json", "text, or json for one JSON object per line")
    HSTS_SECONDS: int = setting(
        365 * DAY,
        "seconds that browsers remember to use https only, while BASE_URL is https; 0 does not "
        "ask them to",
        ge=0,
        le=2 * 366 * DAY,
    )


class HerokuConfig(ProductionConfig):
    """Production behind Heroku's router."""

    NAME = "heroku"

    TRUSTED_PROXIES: int = setting(
        1,
        "number of reverse proxies in front whose X-Forwarded-* headers are trusted, 0 to 10",
        ge=0,
        le=10,
    )


class UnixConfig(ProductionConfig):
    """Production on a Unix host: logs go to syslog as well."""

    NAME = "unix"
    SYSLOG = True


config: dict[str, type[Config]] = {
    "development": DevelopmentConfig,
    "testing": TestingConfig,
    "production": ProductionConfig,
    "heroku": HerokuConfig,
    "unix": UnixConfig,
    "default": DevelopmentConfig,
}

settings = cast(Config, LocalProxy(lambda: current_app.extensions["settings"]))


def load_settings(name: str | None = None) -> Config:
    """Load and validate a configuration, by default the one that the environment names.

    Raises `ConfigurationError`, which lists every wrong variable at once.
    """
    name = name or chosen_config()
    if name not in config:
        raise ConfigurationError(
            f"There is no configuration named {name!r}. Choose one of: {', '.join(config)}."
        )
    try:
        return config[name]()
    except ValidationError as error:
        raise ConfigurationError(explain(config[name].NAME, config[name], error)) from None


def refuse_production(what: str, name: str | None = None) -> None:
    """Refuse to do something destructive in production.

    Raises `Problem` if the named configuration or the environment's own is a production one.
    """
    for each in (name, chosen_config()):
        if each in config and config[each].PRODUCTION:
            raise Problem(f"{what} is refused under the configuration {each!r}.")


def generated_secret_key(instance: Path) -> str:
    """Return development's secret key, generating it once."""
    return _generated(instance, "secret_key", secrets.token_urlsafe(48))


def _generated(instance: Path, name: str, value: str) -> str:
    """Return the content of a file in the instance folder, made with this value if it is missing.

    Processes that start at the same time agree on one value.
    """
    path = instance / name
    try:
        if not path.exists():
            instance.mkdir(mode=0o700, parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=instance) as draft, suppress(FileExistsError):
                draft.write(value)
                draft.flush()
                path.hardlink_to(draft.name)  # atomic, and fails if another process won
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"The folder {instance} cannot be used: {error.strerror}. Set INSTANCE_PATH."
        ) from None
