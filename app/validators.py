"""Validation of URLs, and the base class of request schemas.

Each function returns the normalised value, and raises `ValueError` for one that is invalid.
"""

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, ConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app import postgresql
from app.email_address import email_address


def security_contact(value: str) -> str:
    """Validate where to report vulnerabilities: a URI, or an e-mail address, which becomes one."""
    value = value.strip()
    if re.search(r"\s", value):
        raise ValueError("an address or a URI has no blanks")
    scheme, colon, rest = value.partition(":")
    scheme = scheme.lower()
    if "@" in value and (scheme == "mailto" or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme)):
        address, mark, query = (rest if scheme == "mailto" else value).partition("?")
        return f"mailto:{quote(email_address(unquote(address)), safe='@+')}{mark}{query}"
    valid = {
        "https": bool(colon and urlsplit(value).hostname),
        "tel": re.fullmatch(r"\+?[0-9][0-9().-]*", rest) is not None,
    }
    if not valid.get(scheme) or not re.fullmatch(r"[!-~]+", value):
        raise ValueError("not an e-mail address, nor a URI with https://, mailto: or tel:")
    return f"{scheme}:{rest}"


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
        url = make_url(value) if backend == "sqlite" else postgresql.read_url(value)
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
    postgresql.connecting(url)  # its parameters
    return url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def installation_id(value: str) -> str:
    """Validate the name of an installation, which is part of the names of its cookies."""
    if not re.fullmatch("[a-z0-9]{0,16}", value):  # empty: derived, see `Config`
        raise ValueError("at most 16 letters a to z and digits")
    return value


def redis_prefix(value: str) -> str:
    """Validate a beginning of keys in Redis."""
    # Redis takes any characters. These mean something in patterns: of SCAN, and of ACLs.
    if not re.fullmatch(r"[!-~]{0,64}", value) or re.search(r"[*?\[\]\\]", value):
        raise ValueError(
            "at most 64 characters of ASCII without blanks and without * ? [ ] \\, "
            "which mean more in patterns"
        )
    return value


class Shape(BaseModel):
    """Base of request schemas. Rejects unknown fields, which prevents mass assignment."""

    model_config = ConfigDict(extra="forbid")
