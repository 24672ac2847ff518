"""Every setting: its name, type, default and description, by subject.

A field is an environment variable of the same name. Its description completes "Expected: …" in
error messages and is the text of `docs/settings.md` and `.env.example`, which
`python -m development.settings` writes from here.
"""

from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.environment import embedded_redis_url, instance_path, tidied
from app.settings.types import (
    DAY,
    HOUR,
    KIB,
    MINUTE,
    SECRET_LENGTH,
    YEAR,
    Age,
    Contact,
    DatabaseURL,
    Delay,
    Email,
    Flag,
    Installation,
    Level,
    LogFormat,
    MailServer,
    Origins,
    Prefix,
    Product,
    RedisURL,
    Rule,
    Secret,
    Secrets,
    Sender,
    Site,
    Timeout,
    setting,
)
from app.validators import redis_url


class Fields(BaseSettings):
    """How settings are read: from the environment, names in upper case, empty means unset."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        env_ignore_empty=True,
        extra="ignore",
        validate_default=True,
        populate_by_name=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _tidy(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str) or not value:
            return value  # only a default is empty: a variable that is counts as unset
        is_secret = not cls.model_fields[str(info.field_name)].repr
        return tidied(value, secret=is_secret)


def variables(cls: type[Fields], name: str) -> list[str]:
    """Return the environment variables that a setting is read from: the first that is set."""
    alias = cls.model_fields[name].validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [str(each) for each in choices]


class SiteSettings(Fields):
    """The installation."""

    APP_NAME: Product = setting(
        "quart-base",
        "the product's name, shown on pages and in mails, up to 64 characters",
        max_length=64,
    )
    BASE_URL: Site = setting(
        None,
        "the public URL of the site without a path, such as https://app.example.com; "
        "every mailed link starts with it",
    )
    TRUSTED_PROXIES: int = setting(
        0,
        "number of reverse proxies in front whose X-Forwarded-* headers are trusted, 0 to 10",
        ge=0,
        le=10,
    )
    CORS_ORIGINS: Origins = setting(
        [],
        "origins whose pages may call /api/ from a browser, such as https://shop.example.com, "
        "separated by commas",
    )
    INSTANCE_PATH: Path = Field(
        default_factory=instance_path,
        description="folder for files that the installation creates itself; a relative path is "
        "relative to the folder of the .env file that sets it, else to the working directory",
    )
    ADMIN_EMAIL: Email | None = setting(
        None, "email address of the first administrator", max_length=254
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
    INSTALLATION_ID: Installation = setting(
        "",
        "name of this installation in its cookies and Redis keys, at most 16 letters a to z and "
        "digits; a change ends every session",
    )
    HSTS_SECONDS: int = setting(
        0,
        "seconds that browsers remember to use https only, while BASE_URL is https; 0: no header",
        ge=0,
        le=2 * 366 * DAY,
    )
    HSTS_INCLUDE_SUBDOMAINS: Flag = setting(
        False, "true if every subdomain of BASE_URL's host is served over https, too"
    )
    SECURITY_CONTACT: Contact | None = setting(
        None,
        "where to report vulnerabilities, shown in /.well-known/security.txt: an email address or "
        "a URI with https://, mailto: or tel:",
    )


class SessionSettings(Fields):
    """Sessions and mailed links."""

    SESSION_IDLE: Age = setting(12 * HOUR, "seconds of inactivity after which a session expires")
    SESSION_IDLE_REMEMBERED: Age = setting(
        14 * DAY, "seconds of inactivity after which a 'keep me logged in' session expires"
    )
    SESSION_LIFETIME: Age = setting(
        90 * DAY, "seconds after which a session expires regardless of activity"
    )
    SESSION_TOUCH: int = setting(
        5 * MINUTE, "minimum seconds between two writes of a session's last use", ge=0, le=DAY
    )
    REAUTHENTICATE_AFTER: int = setting(
        10 * MINUTE,
        "seconds after which sensitive actions ask for the password again",
        ge=0,
        le=YEAR,
    )
    CONFIRM_LIFETIME: Age = setting(DAY, "seconds that a link to confirm a new account is valid")
    RESET_LIFETIME: Age = setting(30 * MINUTE, "seconds that a link to reset a password is valid")
    CHANGE_EMAIL_LIFETIME: Age = setting(
        HOUR, "seconds that a link to confirm a changed email address is valid"
    )
    OBJECT_LIFETIME: Age = setting(
        7 * DAY, "seconds that the link to revert a change of email address is valid"
    )
    INVITE_LIFETIME: Age = setting(7 * DAY, "seconds that an invitation is valid")
    DEVICE_LIFETIME: Age = setting(
        180 * DAY, "seconds after its last log-in that a browser counts as known to the account"
    )


class PasswordSettings(Fields):
    """Passwords and their hashing."""

    PASSWORD_MIN_LENGTH: int = setting(
        12, "minimum length of a new password in characters", ge=8, le=128
    )
    PASSWORD_MIN_SCORE: int = setting(
        3, "minimum zxcvbn score of a new password, 0 to 4", ge=0, le=4
    )
    # argon2id as the OWASP password storage cheat sheet recommends: 19 MiB, two passes, one lane.
    ARGON2_MEMORY_COST: int = setting(19456, "argon2id memory cost in KiB", ge=8, le=4 * KIB * KIB)
    ARGON2_TIME_COST: int = setting(2, "argon2id time cost, the number of passes", ge=1, le=100)
    ARGON2_PARALLELISM: int = setting(1, "argon2id parallelism, the number of lanes", ge=1, le=64)
    PASSWORD_QUEUE: int = setting(
        64,
        "maximum number of passwords waiting to be hashed before requests are answered with 503",
        ge=1,
        le=100_000,
    )


class DatabaseSettings(Fields):
    """The database."""

    DATABASE_URL: DatabaseURL = setting(
        None, "postgresql://user:password@host/name or sqlite:///path/to/file.sqlite3", secret=True
    )
    DATABASE_POOL_SIZE: int = setting(
        10, "connections in the pool of one process, without overflow", ge=1, le=1000
    )
    DATABASE_POOL_TIMEOUT: Timeout = setting(
        5, "seconds to wait for a connection from the pool before answering 503"
    )
    DATABASE_POOL_RECYCLE: int = setting(
        30 * MINUTE, "maximum age of a pooled connection in seconds", ge=1, le=YEAR
    )
    DATABASE_CONNECT_TIMEOUT: Timeout = setting(5, "connection time-out in seconds")
    DATABASE_COMMAND_TIMEOUT: Timeout = setting(
        15, "client-side time-out of a statement in seconds"
    )
    DATABASE_STATEMENT_TIMEOUT: Timeout = setting(10, "PostgreSQL's statement_timeout in seconds")
    DATABASE_LOCK_TIMEOUT: Timeout = setting(3, "PostgreSQL's lock_timeout in seconds")
    DATABASE_IDLE_TIMEOUT: Timeout = setting(
        15, "PostgreSQL's idle_in_transaction_session_timeout in seconds"
    )
    DATABASE_PGBOUNCER: Flag = setting(
        False, "true behind PgBouncer: disables the three time-outs above and prepared statements"
    )
    SQLITE_BUSY_TIMEOUT: Timeout = setting(5, "seconds to wait for SQLite's write lock")


class RedisSettings(Fields):
    """Redis."""

    REDIS_URL: RedisURL = setting(
        None,
        "redis://[:password@]host:port/number, rediss://… or unix:///path/to/socket?db=number",
        secret=True,
        validation_alias=AliasChoices("REDIS_URL", "REDISTOGO_URL"),
    )
    REDIS_TIMEOUT: Timeout = setting(
        0.5, "seconds that a request waits for Redis before it continues without"
    )
    WORKER_REDIS_TIMEOUT: Timeout = setting(5, "time-out of a worker's Redis commands in seconds")
    REDIS_PASSWORD: str | None = setting(
        None,
        "password of the Redis server as it is, instead of a percent-encoded one in REDIS_URL",
        secret=True,
    )
    REDIS_PREFIX: Prefix = setting(
        "", "beginning of every key and channel in Redis, at most 64 characters, such as myapp:"
    )
    REDIS_VERIFY_CERTIFICATE: Flag = setting(
        True, "false to accept any certificate of a rediss:// server, as Heroku's need"
    )

    @field_validator("REDIS_PASSWORD", "REDIS_VERIFY_CERTIFICATE")
    @classmethod
    def _fit_the_url(cls, value: Any, info: ValidationInfo) -> Any:
        if url := info.data.get("REDIS_URL"):
            if value and isinstance(value, str) and url == embedded_redis_url(instance_path()):
                raise ValueError("REDIS_URL is not set, and the embedded Valkey has no password")
            redis_url.complete(url, **{str(info.field_name).lower(): value})
        return value


class JobSettings(Fields):
    """Background jobs."""

    WORKER_MAX_JOBS: int = setting(
        10, "maximum number of jobs that a worker runs at once", ge=1, le=1000
    )
    WORKER_JOB_TIMEOUT: Timeout = setting(
        15, "time-out of a job in seconds, unless the job declares its own"
    )
    WORKER_COMPLETION_WAIT: int = setting(
        20, "seconds that running jobs get to finish when a worker shuts down", ge=0, le=DAY
    )
    WORKER_POLL_DELAY: Timeout = setting(
        0.02, "seconds between two polls of a worker's own queue in Redis"
    )
    WORKER_HEALTH_INTERVAL: int = setting(
        15, "half of the seconds for which a worker counts as alive after a heartbeat", ge=1, le=DAY
    )
    WORKER_LEASE: Timeout = setting(
        30, "seconds after which the leases of a dead worker expire and its jobs run again", ge=1
    )
    WORKER_SWEEP: Timeout = setting(
        2, "seconds between two polls of the database for due jobs when nothing wakes a worker"
    )
    JOB_BACKOFF: Delay = setting(
        10, "seconds before the first retry of a failed job; doubles with each retry"
    )
    JOB_BACKOFF_MAX: Delay = setting(HOUR, "maximum retry delay in seconds")
    JOB_RETENTION: int = setting(7 * DAY, "seconds that finished jobs are kept", ge=0, le=10 * YEAR)
    JOBS_OF_NEXT_RELEASE: Flag = setting(
        False, "true for the hour of a deploy: jobs may be enqueued that only newer workers know"
    )


class LimitSettings(Fields):
    """Rate limits and maximum sizes."""

    LOGIN_LIMIT_ADDRESS: Rule = setting(
        "300 per 10 minutes",
        "log-in attempts per client IP, which an office may share, such as 300 per 10 minutes",
    )
    LOGIN_LIMIT_ACCOUNT_ADDRESS: Rule = setting(
        "5 per 5 minutes",
        "wrong passwords per account and client IP, known device or session, such as "
        "5 per 5 minutes",
    )
    LOGIN_LIMIT_ACCOUNT: Rule = setting(
        "50/hour", "wrong passwords per account from all unknown devices, such as 50/hour"
    )
    REGISTRATION_LIMIT: Rule = setting(
        "150/hour", "registrations per client IP, which an office may share, such as 150/hour"
    )
    CONFIRMATION_LIMIT: Rule = setting(
        "3/hour",
        "confirmation mails, and changes of address, that a signed-in user may request, such as "
        "3/hour",
    )
    TOKEN_LIMIT: Rule = setting(
        "30/hour", "API tokens that a user may make, each with a mail, such as 30/hour"
    )
    RESET_LIMIT_ACCOUNT: Rule = setting(
        "3/hour",
        "mails to one address with reset links that still work, such as 3/hour; silent beyond",
    )
    RESET_LIMIT_ADDRESS: Rule = setting(
        "150/hour", "password resets per client IP, which an office may share, such as 150/hour"
    )
    ACCOUNT_MAIL_LIMIT: Rule = setting(
        "10/hour",
        "mails of each other kind to one address whose links still work, such as 10/hour; silent "
        "beyond",
    )
    STRENGTH_LIMIT: Rule = setting(
        "600/minute", "password strength checks per user or client IP, such as 600/minute"
    )
    PAGE_LIMIT: Rule = setting(
        "1200/minute", "page requests per user or client IP, such as 1200/minute"
    )
    API_LIMIT: Rule = setting(
        "300/minute", "API requests per user or client IP, such as 300/minute"
    )
    MAX_CONTENT_LENGTH: int = setting(
        1024 * KIB, "maximum request body in bytes", ge=1, le=10 * KIB**3
    )
    MAX_ACCOUNT_FORM: int = setting(
        64 * KIB, "maximum request body of an account form in bytes", ge=1, le=10 * KIB**3
    )
    MAX_FORM_PARTS: int = setting(100, "maximum number of fields in a form", ge=1, le=100_000)


class MailSettings(Fields):
    """Outgoing mail."""

    MAIL_SERVER: MailServer | None = setting(
        None,
        "host name of the SMTP server, without a port; while it is unset no mail is sent, and "
        "development keeps its mail for /dev/mail",
    )
    MAIL_PORT: int = setting(587, "port of the SMTP server", ge=1, le=65535)
    MAIL_USE_TLS: Flag = setting(True, "true to upgrade the connection with STARTTLS")
    MAIL_USE_SSL: Flag = setting(False, "true for implicit TLS (port 465)")
    MAIL_USERNAME: str | None = setting(None, "user name for the SMTP server")
    MAIL_PASSWORD: str | None = setting(None, "password for the SMTP server", secret=True)
    MAIL_DEFAULT_SENDER: Sender | None = setting(
        None,
        "sender of outgoing mail, Name <post@example.org> or the address alone; "
        "required in production with MAIL_SERVER, ADMIN_EMAIL when unset elsewhere",
    )
    MAIL_TIMEOUT: Timeout = setting(10, "seconds to wait for each response of the SMTP server")

    @model_validator(mode="after")
    def _one_kind_of_tls(self) -> Self:
        if self.MAIL_USE_SSL and "MAIL_USE_TLS" not in self.model_fields_set:
            self.MAIL_USE_TLS = False
        return self


class LogSettings(Fields):
    """Logs, and the trail of who changed what."""

    LOG_LEVEL: Level = setting("INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL")
    LOG_FORMAT: LogFormat = setting("text", "text, or json for one JSON object per line")
    TRAIL_RETENTION: int = setting(
        2 * YEAR, "seconds that entries of the trail are kept", ge=DAY, le=100 * YEAR
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
