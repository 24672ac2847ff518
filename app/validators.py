"""Validation of URLs, and the base class of request schemas.

Each function returns the normalised value, and raises `ValueError` for one that is invalid.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict
from redis.asyncio import ConnectionPool
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

# Query parameters that a PostgreSQL URL may have; on any other asyncpg fails late, with an
# obscure message.
POSTGRES_OPTIONS = {"host", "sslmode", "sslrootcert", "application_name"}

SITE = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?")


def base_url(value: str) -> str:
    """Validate the URL of a site, and remove a slash at its end."""
    parts, found = urlsplit(value), SITE.fullmatch(value)
    if not found or not 0 < int(found["port"] or 80) < 65536:
        raise ValueError("not the URL of a site")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def origin(value: str) -> str:
    """Validate an origin as browsers send it."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != value:
        raise ValueError(
            "an origin is a scheme and a host with nothing after it, such as "
            "https://app.example.com"
        )
    return value


def database_url(value: str) -> str:
    """Validate the URL of a database and give it an async driver, asyncpg or aiosqlite."""
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError("not the URL of a database") from None
    backend = url.drivername.split("+")[0]
    if backend == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ValueError(
                "an in-memory SQLite database cannot be shared between connections; name a file"
            )
        return url.set(drivername="sqlite+aiosqlite").render_as_string(hide_password=False)
    if backend not in ("postgres", "postgresql"):
        raise ValueError(f"{backend!r} is not a supported database; use postgresql or sqlite")
    unknown = sorted(set(url.query) - POSTGRES_OPTIONS)
    if unknown:
        raise ValueError(
            f"the driver does not support {', '.join(unknown)}; "
            f"remove it (supported: {', '.join(sorted(POSTGRES_OPTIONS))})"
        )
    if not url.database:
        raise ValueError("the name of the database is missing")
    if "@" in (url.host or ""):
        raise ValueError("@ in a user name or password is written as %40")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError("the port is a number from 1 to 65535")
    if (root := url.query.get("sslrootcert")) and not Path(str(root)).is_file():
        raise ValueError("sslrootcert names a file that does not exist")
    return url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def redis_url(value: str) -> str:
    """Validate the URL of a Redis server, over TCP, TLS or a Unix socket."""
    parts = urlsplit(value)
    unix = parts.scheme == "unix"
    if parts.scheme not in ("redis", "rediss", "unix") or not (
        parts.path if unix else parts.netloc
    ):
        raise ValueError("not the URL of a Redis server")
    number = "" if unix else parts.path.strip("/")
    if number and not number.isdigit():
        raise ValueError("the database after the last / must be a number")
    try:
        ConnectionPool.from_url(value).make_connection()  # type: ignore[no-untyped-call]
    except Exception:  # whatever it is, the message may hold the password
        raise ValueError(
            "not the URL of a Redis server; : / ? # @ in a password are percent-encoded"
        ) from None
    return value


class Shape(BaseModel):
    """Base of request schemas. Rejects unknown fields, which prevents mass assignment."""

    model_config = ConfigDict(extra="forbid")
