"""URLs of databases: SQLite files and PostgreSQL servers."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.validators import postgresql_url


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def database_url(value: str) -> str:
    """Validate the URL of a database and give it an async driver, asyncpg or aiosqlite."""
    backend = value.partition(":")[0].split("+")[0]
    if backend not in ("sqlite", "postgres", "postgresql"):
        if "://" not in value:
            raise ValueError("not the URL of a database")
        raise ValueError(f"{backend!r} is not a supported database; use postgresql or sqlite")
    try:
        url = make_url(value) if backend == "sqlite" else postgresql_url.read_url(value)
    except ArgumentError:
        raise ValueError("not the URL of a database") from None
    if backend == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ValueError(
                "an in-memory SQLite database cannot be shared between connections; name a file"
            )
        return url.set(drivername="sqlite+aiosqlite").render_as_string(hide_password=False)
    if not url.database:
        raise ValueError("the name of the database is missing")
    if "@" in (url.host or ""):
        raise ValueError("@ in a user name or password is written as %40")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError("the port is a number from 1 to 65535")
    postgresql_url.connecting(url)  # its parameters
    return url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
