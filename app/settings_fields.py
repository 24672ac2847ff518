"""Every setting: its name, type, default and description, by subject.

A field is an environment variable of the same name. Its description completes "Expected: …" in
error messages and is the text of `docs/settings.md` and `.env.example`, which
`python -m development.settings` writes from here.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from limits import parse
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app import validators
from app.email_address import email_address
from app.environment import instance_path

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
            f"a secret key has at least {SECRET_LENGTH} characters, not counting blanks around it"
        )
    return value


def _split(value: object) -> object:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


Email = Annotated[str, AfterValidator(email_address)]
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


def setting(default: Any, description: str, *, secret: bool = False, **constraints: Any) -> Any:
    """Declare a setting: its default, and its description in lower case without a full stop.

    A secret is never shown, neither in a `repr` nor in an error message.
    """
    return Field(default, description=description, repr=not secret, **constraints)


class Fields(BaseSettings):
    """How settings are read: from the environment, names in upper case, empty means unset."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        env_ignore_empty=True,
        extra="ignore",
        validate_default=True,
        populate_by_name=True,
    )


class SiteSettings(Fields):
    """The installation."""

    APP_NAME: str = setting(
        "quart-base", "the product's name, shown on pages and in mails", max_length=64
    )
    BASE_URL: Site = setting(
        None,
        "the public URL of the site, such as https://app.example.com; "
        "every mailed link starts with it",
    )
    TRUSTED_PROXIES: int = setting(
        0,
        "number of reverse proxies in front whose X-Forwarded-* headers are trusted, 0 to 10",
        ge=0,
        le=10,
    )
    CORS_ORIGINS: Origins = setting(
        [], "origins whose pages may call /api/ from a browser, separated by commas"
    )
    INSTANCE_PATH: Path = Field(
        default_factory=instance_path,
        description="folder for files that the installation creates itself",
    )
    ADMIN_EMAIL: Email = setting(
        "admin@example.com", "e-mail address of the first administrator", max_length=254
    )
    ADMIN_PASSWORD: str | None = setting(
        None,
        "password of the first administrator, read by setup-dev and setup-prod only",
        secret=True,
    )
    SECRET_KEY: Secret = setting(
        None,
        f"a random secret of at least {SECRET_LENGTH} characters; "
        'generate one with python3 -c "import secrets; print(secrets.token_urlsafe(48))"',
        secret=True,
    )
    SECRET_KEY_FALLBACKS: Secrets = setting(
        [],
        "previous secret keys that are still accepted after a rotation, separated by commas",
        secret=True,
    )


class SessionSettings(Fields):
    """Sessions and mailed links."""

    SESSION_IDLE: int = setting(
        12 * HOUR, "seconds of inactivity after which a session expires", ge=MINUTE
    )
    SESSION_IDLE_REMEMBERED: int = setting(
        14 * DAY,
        "seconds of inactivity after which a 'keep me logged in' session expires",
        ge=MINUTE,
    )
    SESSION_LIFETIME: int = setting(
        90 * DAY, "seconds after which a session expires regardless of activity", ge=MINUTE
    )
    SESSION_TOUCH: int = setting(
        5 * MINUTE, "minimum seconds between two writes of a session's last use", ge=0
    )
    REAUTHENTICATE_AFTER: int = setting(
        10 * MINUTE,
        "seconds after which sensitive actions ask for the password again",
        ge=0,
    )
    CONFIRM_LIFETIME: int = setting(
        DAY, "seconds that a link to confirm a new account is valid", ge=MINUTE
    )
    RESET_LIFETIME: int = setting(
        30 * MINUTE, "seconds that a link to reset a password is valid", ge=MINUTE
    )
    CHANGE_EMAIL_LIFETIME: int = setting(
        HOUR, "seconds that a link to confirm a changed e-mail address is valid", ge=MINUTE
    )
    OBJECT_LIFETIME: int = setting(
        7 * DAY,
        "seconds that the link to revert a change of e-mail address is valid",
        ge=MINUTE,
    )
    INVITE_LIFETIME: int = setting(7 * DAY, "seconds that an invitation is valid", ge=MINUTE)


class PasswordSettings(Fields):
    """Passwords and their hashing."""

    PASSWORD_MIN_LENGTH: int = setting(
        12, "minimum length of a new password in characters", ge=8, le=128
    )
    PASSWORD_MIN_SCORE: int = setting(
        3, "minimum zxcvbn score of a new password, 0 to 4", ge=0, le=4
    )
    # argon2id as the OWASP password storage cheat sheet recommends: 19 MiB, two passes, one lane.
    ARGON2_MEMORY_COST: int = setting(19456, "argon2id memory cost in KiB", ge=8)
    ARGON2_TIME_COST: int = setting(2, "argon2id time cost, the number of passes", ge=1)
    ARGON2_PARALLELISM: int = setting(1, "argon2id parallelism, the number of lanes", ge=1)
    PASSWORD_QUEUE: int = setting(
        64,
        "maximum number of passwords waiting to be hashed before requests are answered with 503",
        ge=1,
    )


class DatabaseSettings(Fields):
    """The database."""

    DATABASE_URL: DatabaseURL = setting(
        None, "postgresql://user:password@host/name or sqlite:///path/to/file.sqlite3", secret=True
    )
    DATABASE_POOL_SIZE: int = setting(
        10, "connections in the pool of one process, without overflow", ge=1
    )
    DATABASE_POOL_TIMEOUT: float = setting(
        5, "seconds to wait for a connection from the pool before answering 503", gt=0
    )
    DATABASE_POOL_RECYCLE: int = setting(
        30 * MINUTE, "maximum age of a pooled connection in seconds", ge=1
    )
    DATABASE_CONNECT_TIMEOUT: float = setting(5, "connection time-out in seconds", gt=0)
    DATABASE_COMMAND_TIMEOUT: float = setting(
        15, "client-side time-out of a statement in seconds", gt=0
    )
    DATABASE_STATEMENT_TIMEOUT: float = setting(
        10, "PostgreSQL's statement_timeout in seconds", gt=0
    )
    DATABASE_LOCK_TIMEOUT: float = setting(3, "PostgreSQL's lock_timeout in seconds", gt=0)
    DATABASE_IDLE_TIMEOUT: float = setting(
        15, "PostgreSQL's idle_in_transaction_session_timeout in seconds", gt=0
    )
    DATABASE_PGBOUNCER: bool = setting(
        False,
        "true behind PgBouncer: disables the three time-outs above and prepared statements",
    )
    SQLITE_BUSY_TIMEOUT: float = setting(5, "seconds to wait for SQLite's write lock", gt=0)


class RedisSettings(Fields):
    """Redis."""

    REDIS_URL: RedisURL = setting(
        None,
        "redis://[:password@]host:port/number, rediss://… or unix:///path/to/socket?db=number",
        secret=True,
        validation_alias=AliasChoices("REDIS_URL", "REDISTOGO_URL"),
    )
    REDIS_TIMEOUT: float = setting(
        0.5, "seconds that a request waits for Redis before it continues without", gt=0
    )
    WORKER_REDIS_TIMEOUT: float = setting(
        5, "time-out of a worker's Redis commands in seconds", gt=0
    )


class JobSettings(Fields):
    """Background jobs."""

    WORKER_MAX_JOBS: int = setting(10, "maximum number of jobs that a worker runs at once", ge=1)
    WORKER_JOB_TIMEOUT: float = setting(
        15, "time-out of a job in seconds, unless the job declares its own", gt=0
    )
    WORKER_COMPLETION_WAIT: int = setting(
        20, "seconds that running jobs get to finish when a worker shuts down", ge=0
    )
    WORKER_POLL_DELAY: float = setting(
        0.02, "seconds between two polls of a worker's own queue in Redis", gt=0
    )
    WORKER_HEALTH_INTERVAL: int = setting(15, "seconds between two heartbeats of a worker", ge=1)
    WORKER_LEASE: float = setting(
        30, "seconds after which the leases of a dead worker expire and its jobs run again", ge=1
    )
    WORKER_SWEEP: float = setting(
        2,
        "seconds between two polls of the database for due jobs when nothing wakes a worker",
        gt=0,
    )
    JOB_BACKOFF: float = setting(
        10, "seconds before the first retry of a failed job; doubles with each retry", gt=0
    )
    JOB_BACKOFF_MAX: float = setting(HOUR, "maximum retry delay in seconds", gt=0)
    JOB_RETENTION: int = setting(7 * DAY, "seconds that finished jobs are kept", ge=0)


class LimitSettings(Fields):
    """Rate limits and maximum sizes."""

    LOGIN_LIMIT_ADDRESS: Rule = setting(
        "30/minute", "log-in attempts per client IP, such as 30/minute"
    )
    LOGIN_LIMIT_ACCOUNT_ADDRESS: Rule = setting(
        "5 per 5 minutes",
        "failed log-ins per account and client IP, such as 5 per 5 minutes",
    )
    LOGIN_LIMIT_ACCOUNT: Rule = setting(
        "50/hour", "failed log-ins per account from all client IPs, such as 50/hour"
    )
    REGISTRATION_LIMIT: Rule = setting("10/hour", "registrations per client IP, such as 10/hour")
    CONFIRMATION_LIMIT: Rule = setting(
        "3/hour", "confirmation mails that a signed-in user may request, such as 3/hour"
    )
    RESET_LIMIT_ACCOUNT: Rule = setting(
        "3/hour", "password resets per e-mail address, such as 3/hour"
    )
    RESET_LIMIT_ADDRESS: Rule = setting("20/hour", "password resets per client IP, such as 20/hour")
    ACCOUNT_MAIL_LIMIT: Rule = setting(
        "10/hour", "registrations with and changes to one e-mail address, such as 10/hour"
    )
    STRENGTH_LIMIT: Rule = setting(
        "120/minute", "password strength checks per user or client IP, such as 120/minute"
    )
    PAGE_LIMIT: Rule = setting(
        "600/minute", "page requests per user or client IP, such as 600/minute"
    )
    API_LIMIT: Rule = setting(
        "300/minute", "API requests per user or client IP, such as 300/minute"
    )
    MAX_CONTENT_LENGTH: int = setting(1024 * KIB, "maximum request body in bytes", ge=1)
    MAX_ACCOUNT_FORM: int = setting(
        64 * KIB, "maximum request body of an account form in bytes", ge=1
    )
    MAX_FORM_PARTS: int = setting(100, "maximum number of fields in a form", ge=1)


class MailSettings(Fields):
    """Outgoing mail."""

    MAIL_SERVER: str | None = setting(
        None,
        "host name of the SMTP server; while it is unset no mail is sent, and development keeps "
        "its mail for /dev/mail",
    )
    MAIL_PORT: int = setting(587, "port of the SMTP server", ge=1, le=65535)
    MAIL_USE_TLS: bool = setting(True, "true to upgrade the connection with STARTTLS")
    MAIL_USE_SSL: bool = setting(False, "true for implicit TLS (port 465)")
    MAIL_USERNAME: str | None = setting(None, "user name for the SMTP server")
    MAIL_PASSWORD: str | None = setting(None, "password for the SMTP server", secret=True)
    MAIL_DEFAULT_SENDER: str | None = setting(
        None, "From address of outgoing mail; ADMIN_EMAIL when unset"
    )
    MAIL_TIMEOUT: float = setting(10, "seconds to wait for each response of the SMTP server", gt=0)

    @model_validator(mode="after")
    def _one_kind_of_tls(self) -> Self:
        if self.MAIL_USE_SSL and "MAIL_USE_TLS" not in self.model_fields_set:
            self.MAIL_USE_TLS = False
        return self


class LogSettings(Fields):
    """Logs."""

    LOG_LEVEL: Level = setting("INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL")
    LOG_FORMAT: Literal["text", "json"] = setting(
        "text", "text, or json for one JSON object per line"
    )


# In the order of `docs/settings.md`. A group's title is its docstring.
GROUPS: tuple[type[Fields], ...] = (
    SiteSettings,
    SessionSettings,
    PasswordSettings,
    DatabaseSettings,
    RedisSettings,
    JobSettings,
    LimitSettings,
    MailSettings,
    LogSettings,
)
