"""What a value may be: the shape of what comes in, and the forms of addresses.

Each function raises `ValueError` for what it does not understand.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import BaseModel, ConfigDict
from redis.asyncio import ConnectionPool
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

# What may follow the ? of a PostgreSQL address; asyncpg fails obscurely, and late, on anything
# else.
POSTGRES_OPTIONS = {"host", "sslmode", "sslrootcert", "application_name"}

SITE = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?")


def base_url(value: str) -> str:
    """The address of a site, without a slash at the end."""
    parts, found = urlsplit(value), SITE.fullmatch(value)
    if not found or not 0 < int(found["port"] or 80) < 65536:
        raise ValueError("not the address of a site")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def origin(value: str) -> str:
    """An origin, as browsers send it."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != value:
        raise ValueError(
            "an origin is a scheme and a host, like https://app.example.com, nothing after it"
        )
    return value


def email(value: str) -> str:
    """An e-mail address, in lower case. Whether mail arrives there is not asked."""
    try:
        # Hosts of a company's own network have names without a dot, and tests have names that end
        # in .test.
        found = validate_email(
            value.strip(), check_deliverability=False, globally_deliverable=False
        )
    except EmailNotValidError as error:
        raise ValueError(f"not an e-mail address: {str(error).rstrip('.')}") from None
    if (
        "=?" in found.normalized
    ):  # the beginning of an encoded word, which mail readers would decode
        raise ValueError("not an e-mail address that mail can be sent to")
    return found.normalized.lower()


def database_url(value: str) -> str:
    """The address of a database, with the asynchronous driver: asyncpg or aiosqlite."""
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError("not the address of a database") from None
    backend = url.drivername.split("+")[0]
    if backend == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ValueError("SQLite in memory cannot be shared between connections: name a file")
        return url.set(drivername="sqlite+aiosqlite").render_as_string(hide_password=False)
    if backend not in ("postgres", "postgresql"):
        raise ValueError(f"{backend!r} is not a database this application runs on")
    unknown = sorted(set(url.query) - POSTGRES_OPTIONS)
    if unknown:
        raise ValueError(
            f"the driver does not understand {', '.join(unknown)}; "
            f"remove it (understood: {', '.join(sorted(POSTGRES_OPTIONS))})"
        )
    if not url.database:
        raise ValueError("the name of the database is missing")
    if "@" in (url.host or ""):
        raise ValueError("a user name or password with @ in it is written with %40 in its place")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError("the port is a number from 1 to 65535")
    if (root := url.query.get("sslrootcert")) and not Path(str(root)).is_file():
        raise ValueError("sslrootcert names no file")
    return url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def redis_url(value: str) -> str:
    """The address of a Redis server, over TCP, TLS or a Unix socket."""
    parts = urlsplit(value)
    unix = parts.scheme == "unix"
    if parts.scheme not in ("redis", "rediss", "unix") or not (
        parts.path if unix else parts.netloc
    ):
        raise ValueError("not the address of a Redis server")
    number = "" if unix else parts.path.strip("/")
    if number and not number.isdigit():
        raise ValueError("the database after the last / is a number")
    try:
        ConnectionPool.from_url(value).make_connection()  # type: ignore[no-untyped-call]
    except Exception:  # whatever it is, the message may hold the password
        raise ValueError(
            "not the address of a Redis server; a password with : / ? # @ in it is written with "
            "%-codes"
        ) from None
    return value


class Shape(BaseModel):
    """What somebody sends. Unknown fields are refused, so that nobody slips in a role."""

    model_config = ConfigDict(extra="forbid")
