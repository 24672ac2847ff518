"""The named configurations, each a typed and validated class, and the proxy to the current app's.

Every field below is an environment variable of the same name. Its description says what it takes;
error messages and the README's table use those words.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from limits import parse
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from quart import current_app
from werkzeug.local import LocalProxy

from app import validators
from app.environment import chosen_config, embedded_redis_url, first_set, instance_path
from app.errors import ConfigurationError, Problem

DEFAULT_ADMIN_PASSWORD = "password"  # noqa: S105  (development only: it logs in from this machine alone)

SECRET_LENGTH = 32

KIB = 1024
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def _rule(value: str) -> str:
    parse(value)
    return value


def _secret(value: str) -> str:
    if len(value.strip()) < SECRET_LENGTH:
        raise ValueError(
            f"a secret key has at least {SECRET_LENGTH} characters, blanks around it not counted"
        )
    return value


def _split(value: object) -> object:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


Email = Annotated[str, AfterValidator(validators.email)]
Site = Annotated[str, AfterValidator(validators.base_url)]
DatabaseURL = Annotated[str, AfterValidator(validators.database_url)]
RedisURL = Annotated[str, AfterValidator(validators.redis_url)]
Rule = Annotated[str, AfterValidator(_rule)]
Secret = Annotated[str, AfterValidator(_secret)]
Secrets = Annotated[list[Secret], NoDecode, BeforeValidator(_split)]
Origins = Annotated[
    list[Annotated[str, AfterValidator(validators.origin)]], NoDecode, BeforeValidator(_split)
]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)
]


def setting(default: Any, takes: str, *, secret: bool = False, **constraints: Any) -> Any:
    """A field of the configuration: its default, and in words what it takes.

    A secret is never shown.
    """
    return Field(default, description=takes, repr=not secret, **constraints)


class Config(BaseSettings):
    """What every configuration has."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        env_ignore_empty=True,
        extra="ignore",
        validate_default=True,
        populate_by_name=True,
    )

    NAME: ClassVar[str] = "default"
    DEBUG: ClassVar[bool] = False
    TESTING: ClassVar[bool] = False
    PRODUCTION: ClassVar[bool] = False
    SYSLOG: ClassVar[bool] = False

    # Who and where
    APP_NAME: str = setting(
        "quart-base", "the product's name, shown on pages and in mails", max_length=64
    )
    BASE_URL: Site = setting(
        None,
        "the address people use, like https://app.example.com; every mailed link starts with it",
    )
    TRUSTED_PROXIES: int = setting(
        0, "how many proxies to believe for X-Forwarded-*: 0, 1, 2 …", ge=0, le=10
    )
    CORS_ORIGINS: Origins = setting(
        [], "origins that may call /api/ from a browser, separated by commas"
    )
    INSTANCE_PATH: Path = Field(
        default_factory=instance_path,
        description="a folder for what this installation makes for itself",
    )
    ADMIN_EMAIL: Email = setting(
        "admin@example.com", "the first administrator's e-mail address", max_length=254
    )
    ADMIN_PASSWORD: str | None = setting(
        None,
        "the first administrator's password, read by setup-dev and setup-prod only",
        secret=True,
    )

    # Secrets and sessions
    SECRET_KEY: Secret = setting(
        None,
        "at least 32 characters that nobody else knows; "
        'make one with python3 -c "import secrets; print(secrets.token_urlsafe(48))"',
        secret=True,
    )
    SECRET_KEY_FALLBACKS: Secrets = setting(
        [], "former secret keys, separated by commas, still accepted", secret=True
    )
    SESSION_IDLE: int = setting(
        12 * HOUR, "seconds without a request after which a session ends", ge=MINUTE
    )
    SESSION_IDLE_REMEMBERED: int = setting(14 * DAY, "the same for 'keep me logged in'", ge=MINUTE)
    SESSION_LIFETIME: int = setting(
        90 * DAY, "seconds after which a session ends, however much it is used", ge=MINUTE
    )
    SESSION_TOUCH: int = setting(
        5 * MINUTE, "seconds between two notes of a session's last use", ge=0
    )
    CONFIRM_LIFETIME: int = setting(
        DAY, "seconds that the link works which confirms an address", ge=MINUTE
    )
    RESET_LIFETIME: int = setting(
        30 * MINUTE, "seconds that the link works which resets a password", ge=MINUTE
    )
    CHANGE_EMAIL_LIFETIME: int = setting(
        HOUR, "seconds that the link works which confirms a new address", ge=MINUTE
    )
    OBJECT_LIFETIME: int = setting(
        7 * DAY, "seconds that one may object to a change of one's address", ge=MINUTE
    )
    INVITE_LIFETIME: int = setting(7 * DAY, "seconds that an invitation works", ge=MINUTE)
    REAUTHENTICATE_AFTER: int = setting(
        10 * MINUTE, "seconds until what is sensitive asks for the password", ge=0
    )
    PASSWORD_MIN_LENGTH: int = setting(12, "the fewest characters a new password has", ge=8, le=128)
    PASSWORD_MIN_SCORE: int = setting(
        3, "the least zxcvbn score of a new password, 0 to 4", ge=0, le=4
    )
    # argon2id as the OWASP password storage cheat sheet recommends: 19 MiB, two passes, one lane.
    ARGON2_MEMORY_COST: int = setting(19456, "argon2id's memory in KiB", ge=8)
    ARGON2_TIME_COST: int = setting(2, "argon2id's passes", ge=1)
    ARGON2_PARALLELISM: int = setting(1, "argon2id's lanes", ge=1)
    PASSWORD_QUEUE: int = setting(
        64, "how many passwords may wait to be hashed before log-ins get a 503", ge=1
    )

    # Database
    DATABASE_URL: DatabaseURL = setting(
        None, "postgresql://user:password@host/name or sqlite:///path/to/file.sqlite3", secret=True
    )
    DATABASE_POOL_SIZE: int = setting(
        10, "connections that one process keeps, without overflow", ge=1
    )
    DATABASE_POOL_TIMEOUT: float = setting(
        5, "seconds to wait for one of them before answering 503", gt=0
    )
    DATABASE_POOL_RECYCLE: int = setting(
        30 * MINUTE, "seconds after which a connection is made anew", ge=1
    )
    DATABASE_CONNECT_TIMEOUT: float = setting(5, "seconds to connect", gt=0)
    DATABASE_COMMAND_TIMEOUT: float = setting(
        15, "seconds that a statement may take, seen from here", gt=0
    )
    DATABASE_STATEMENT_TIMEOUT: float = setting(
        10, "seconds that PostgreSQL gives a statement", gt=0
    )
    DATABASE_LOCK_TIMEOUT: float = setting(
        3, "seconds that PostgreSQL lets a statement wait for a lock", gt=0
    )
    DATABASE_IDLE_TIMEOUT: float = setting(
        15, "seconds that PostgreSQL lets a transaction idle", gt=0
    )
    DATABASE_PGBOUNCER: bool = setting(
        False, "true behind PgBouncer: without those three and prepared statements"
    )
    SQLITE_BUSY_TIMEOUT: float = setting(5, "seconds to wait for SQLite's write lock", gt=0)

    # Redis and the worker
    REDIS_URL: RedisURL = setting(
        None,
        "redis://[:password@]host:port/number, rediss://… or unix:///path/to/socket?db=number",
        secret=True,
        validation_alias=AliasChoices("REDIS_URL", "REDISTOGO_URL"),
    )
    REDIS_TIMEOUT: float = setting(
        0.5, "seconds that a request waits for Redis before going on without it", gt=0
    )
    WORKER_REDIS_TIMEOUT: float = setting(
        5, "seconds that a worker waits for an answer of Redis", gt=0
    )
    WORKER_MAX_JOBS: int = setting(10, "jobs that one worker runs at once", ge=1)
    WORKER_JOB_TIMEOUT: float = setting(
        15, "seconds that a job may take unless it says otherwise", gt=0
    )
    WORKER_COMPLETION_WAIT: int = setting(
        20, "seconds that running jobs get to finish when a worker stops", ge=0
    )
    WORKER_POLL_DELAY: float = setting(0.02, "seconds between two looks at the queue", gt=0)
    WORKER_HEALTH_INTERVAL: int = setting(15, "seconds between two signs of life of a worker", ge=1)
    WORKER_LEASE: float = setting(
        30, "seconds after which the jobs of a worker that died run elsewhere", ge=1
    )
    WORKER_SWEEP: float = setting(
        2, "seconds after which a worker looks for jobs though nothing woke it", gt=0
    )
    JOB_BACKOFF: float = setting(
        10, "seconds before a job that failed runs again, doubled each time", gt=0
    )
    JOB_BACKOFF_MAX: float = setting(HOUR, "the most seconds that become of it", gt=0)
    JOB_RETENTION: int = setting(7 * DAY, "seconds that jobs are kept after they are done", ge=0)

    # Limits
    LOGIN_LIMIT_ADDRESS: Rule = setting(
        "30/minute", "log-in attempts from one address, like 30/minute"
    )
    LOGIN_LIMIT_ACCOUNT_ADDRESS: Rule = setting(
        "5 per 5 minutes", "failed log-ins for one account from one address, like 5 per 5 minutes"
    )
    LOGIN_LIMIT_ACCOUNT: Rule = setting(
        "50/hour", "failed log-ins for one account in all, like 50/hour"
    )
    REGISTRATION_LIMIT: Rule = setting("10/hour", "registrations from one address, like 10/hour")
    CONFIRMATION_LIMIT: Rule = setting(
        "3/hour", "how often somebody may have an address confirmed, like 3/hour"
    )
    RESET_LIMIT_ACCOUNT: Rule = setting(
        "3/hour", "how often a password may be reset for one account, like 3/hour"
    )
    RESET_LIMIT_ADDRESS: Rule = setting(
        "20/hour", "how often from one address, whoever it is for, like 20/hour"
    )
    ACCOUNT_MAIL_LIMIT: Rule = setting(
        "10/hour", "registrations and changes to one e-mail address, like 10/hour"
    )
    STRENGTH_LIMIT: Rule = setting(
        "120/minute", "questions about a new password from one address, like 120/minute"
    )
    PAGE_LIMIT: Rule = setting(
        "600/minute", "requests for pages by one person or address, like 600/minute"
    )
    API_LIMIT: Rule = setting(
        "300/minute", "API requests by one person or address, like 300/minute"
    )
    MAX_CONTENT_LENGTH: int = setting(1024 * KIB, "bytes of a request's body", ge=1)
    MAX_ACCOUNT_FORM: int = setting(64 * KIB, "bytes of an account form", ge=1)
    MAX_FORM_PARTS: int = setting(100, "fields of a form", ge=1)

    # Mail
    MAIL_SERVER: str | None = setting(
        None, "the SMTP server's host name; without one no mail leaves"
    )
    MAIL_PORT: int = setting(587, "the SMTP server's port", ge=1, le=65535)
    MAIL_USE_TLS: bool = setting(True, "true to upgrade the connection with STARTTLS")
    MAIL_USE_SSL: bool = setting(False, "true to speak TLS from the start (port 465)")
    MAIL_USERNAME: str | None = setting(None, "the name to log in to it with")
    MAIL_PASSWORD: str | None = setting(None, "the password to log in to it with", secret=True)
    MAIL_DEFAULT_SENDER: str | None = setting(None, "the From address; ADMIN_EMAIL when unset")
    MAIL_TIMEOUT: float = setting(10, "seconds to wait for each answer of the SMTP server", gt=0)

    # Logs
    LOG_LEVEL: Level = setting("INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL")
    LOG_FORMAT: Literal["text", "json"] = setting("text", "text or json, one object a line")

    @model_validator(mode="after")
    def _one_kind_of_tls(self) -> Self:
        if self.MAIL_USE_SSL and "MAIL_USE_TLS" not in self.model_fields_set:
            self.MAIL_USE_TLS = False
        return self

    @property
    def secure(self) -> bool:
        """Whether people come by https: decides about Secure cookies, HSTS and the redirect."""
        return self.BASE_URL.startswith("https://")

    @property
    def sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.DATABASE_URL.startswith("sqlite")

    @property
    def embedded_valkey(self) -> bool:
        """Whether Redis is the embedded server rather than a configured one."""
        return embedded_redis_url(self.INSTANCE_PATH) == self.REDIS_URL

    def for_quart(self) -> dict[str, Any]:
        """All values under their own names, as they land in `app.config`."""
        return {
            **self.model_dump(),
            "DEBUG": self.DEBUG,
            "TESTING": self.TESTING,
            "CONFIG_NAME": self.NAME,
        }


class DevelopmentConfig(Config):
    """A person's own machine: everything has a default, nothing has to be installed or started."""

    NAME = "development"
    DEBUG = True

    DATABASE_URL: DatabaseURL = setting(
        None,
        "postgresql://user:password@host/name or sqlite:///path/to/file.sqlite3",
        secret=True,
        validation_alias=AliasChoices("DEV_DATABASE_URL", "DATABASE_URL"),
    )
    ADMIN_PASSWORD: str | None = setting(
        DEFAULT_ADMIN_PASSWORD,
        "the first administrator's password; the default logs in from this machine only",
        secret=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        instance = instance_path()
        values.setdefault("BASE_URL", f"http://localhost:{first_set('PORT') or 8000}")
        if not {"DATABASE_URL", "DEV_DATABASE_URL"} & values.keys():
            values["DATABASE_URL"] = f"sqlite:///{instance / 'development.sqlite3'}"
        if not {"REDIS_URL", "REDISTOGO_URL"} & values.keys():
            values["REDIS_URL"] = embedded_redis_url(instance)
        if "SECRET_KEY" not in values:
            values["SECRET_KEY"] = generated_secret_key(instance)
        return values


class TestingConfig(Config):
    """The test suite: a database of its own, cheap password hashes."""

    __test__ = False  # not a test class, whatever its name
    NAME = "testing"
    TESTING = True

    BASE_URL: Site = setting("http://localhost", "the address people use")
    SECRET_KEY: Secret = setting(
        "testing-testing-testing-testing-testing", "32 characters", secret=True
    )
    DATABASE_URL: DatabaseURL = setting(
        None,
        "the address of a database for tests alone",
        secret=True,
        validation_alias="TEST_DATABASE_URL",
    )
    ADMIN_PASSWORD: str | None = setting(
        DEFAULT_ADMIN_PASSWORD, "the first administrator's password", secret=True
    )
    ARGON2_MEMORY_COST: int = setting(8, "argon2id's memory in KiB", ge=8)
    ARGON2_TIME_COST: int = setting(1, "argon2id's passes", ge=1)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        instance = instance_path()
        values.pop("DATABASE_URL", None)
        values.setdefault("TEST_DATABASE_URL", f"sqlite:///{instance / 'test.sqlite3'}")
        if not {"REDIS_URL", "REDISTOGO_URL"} & values.keys():
            values["REDIS_URL"] = embedded_redis_url(instance)
        return values


class ProductionConfig(Config):
    """A server on the internet: what has no safe default is required."""

    NAME = "production"
    PRODUCTION = True

    LOG_FORMAT: Literal["text", "json"] = setting("json", "text or json, one object a line")


class HerokuConfig(ProductionConfig):
    """Production behind Heroku's router."""

    NAME = "heroku"

    TRUSTED_PROXIES: int = setting(
        1, "how many proxies to believe for X-Forwarded-*: 0, 1, 2 …", ge=0, le=10
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
    """The validated settings of a named configuration, by default the one that the environment
    chooses.

    Raises `ConfigurationError`, which names every wrong variable at once.
    """
    name = name or chosen_config()
    if name not in config:
        raise ConfigurationError(
            f"There is no configuration named {name!r}. Choose one of: {', '.join(config)}."
        )
    try:
        return config[name]()
    except ValidationError as error:
        raise ConfigurationError(explain(config[name], error)) from None


def refuse_production(what: str, name: str | None = None) -> None:
    """Raise `Problem` if this configuration, or the one that the environment chooses, is a
    production one.
    """
    for each in (name, chosen_config()):
        if each in config and config[each].PRODUCTION:
            raise Problem(f"{what} is refused under the configuration {each!r}.")


def explain(cls: type[Config], error: ValidationError) -> str:
    """Every mistake on a line of its own: the variable, what it got, what it takes.

    No secret is shown.
    """
    mistakes = {mistake["loc"][0]: mistake for mistake in error.errors(include_url=False)}
    how_many = (
        "one of its variables is" if len(mistakes) == 1 else f"{len(mistakes)} of its variables are"
    )
    lines = [f"The {cls.NAME} configuration cannot be used, {how_many} wrong:"]
    for place, mistake in mistakes.items():
        name, field = next((n, f) for n, f in cls.model_fields.items() if place in _variables(n, f))
        variable = next((v for v in _variables(name, field) if os.environ.get(v)), name)
        value = os.environ.get(variable)
        if not value:
            got = "is not set"
        elif field.repr:
            got = f"got {value!r}"
        else:
            got = f"got a value of {len(value)} characters (not shown)"
        reason = ""
        if mistake["type"] == "value_error":
            reason = str(mistake["ctx"]["error"])
        elif mistake["type"].startswith(("greater", "less")):
            reason = mistake["msg"].removeprefix("Input ")  # "should be less than …"
        lines.append(
            f"  {variable}: {got}{f', {reason}' if reason else ''}. It takes {field.description}."
        )
    return "\n".join(lines)


def _variables(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [*map(str, choices), name]


def generated_secret_key(instance: Path) -> str:
    """Development's secret key, made once: processes that start at the same time agree on one."""
    path = instance / "secret_key"
    try:
        if not path.exists():
            instance.mkdir(mode=0o700, parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=instance) as draft, suppress(FileExistsError):
                draft.write(secrets.token_urlsafe(48))
                draft.flush()
                path.hardlink_to(draft.name)  # atomic, and fails if another process won
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"The folder {instance} cannot be used: {error.strerror}. Set INSTANCE_PATH."
        ) from None
