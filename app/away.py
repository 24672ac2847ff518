"""Whether a service is away: decided here for requests, probes, commands and workers alike."""

from socket import gaierror
from ssl import SSLError
from typing import Any

import asyncpg
from asyncpg.exceptions import OutdatedSchemaCacheError
from redis.exceptions import RedisError
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from app.errors import NotReady

# What is raised when no answer comes, for code that can go on without one: `except DATABASE_AWAY`.
# Timeouts and refused connections are OSErrors. These are wide: a query that is wrong is among
# them. Code that must tell the two apart asks `is_away`.
DATABASE_AWAY = (SQLAlchemyError, OSError)
REDIS_AWAY = (RedisError, OSError)
AWAY = (*DATABASE_AWAY, *REDIS_AWAY)

# Connection, log-in and database refused, resources, locks, cancelled or shut down, serialization
# and deadlock, a transaction that was idle for too long, and one that a standby takes for reading
# only: https://www.postgresql.org/docs/current/errcodes-appendix.html
POSTGRESQL_AWAY = ("08", "28", "3D000", "53", "55P03", "57", "40", "25P03", "25006")
# https://www.sqlite.org/rescode.html
SQLITE_AWAY = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_CANTOPEN",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_READONLY",
    "SQLITE_SCHEMA",
)


def is_away(error: BaseException) -> bool:
    """Tell whether a service is away, locked or overloaded, rather than asked something wrong.

    A request is then answered with 503 and may be sent again; a command names the service.
    """
    if is_outdated(error):
        return True
    if isinstance(error, DBAPIError):
        return _is_database_away(error)
    if isinstance(error, SQLAlchemyError):
        return isinstance(error, PoolExhausted) or isinstance(error.__cause__, OSError)
    kinds = (NotReady, RedisError, ConnectionError, TimeoutError, gaierror, SSLError)
    return isinstance(error, kinds)


async def connect_postgresql(*arguments: Any, **options: Any) -> Any:
    """Connect to PostgreSQL, as SQLAlchemy has the driver do it.

    Raises `ConnectionError` for what the system says of a socket that is not there or is another
    user's, or of several addresses at once: errors that elsewhere would be those of a file.
    """
    try:
        return await asyncpg.connect(*arguments, **options)
    except OSError as error:
        if is_away(error):
            raise
        raise ConnectionError(*error.args) from error


def is_outdated(error: BaseException) -> bool:
    """Tell whether a migration has changed what the driver remembers of a query or of a type.

    The driver forgets all of it upon this error, so the next transaction succeeds.
    """
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, AsyncAdapt_asyncpg_dbapi.InternalServerError):
        return "cache lookup failed" in str(error.orig)  # of a type that has been replaced
    return isinstance(
        error.orig, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError
    ) or isinstance(error.orig and error.orig.__cause__, OutdatedSchemaCacheError)


def _is_database_away(error: DBAPIError) -> bool:
    """Decide by the codes of the drivers."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    return code_of(error).startswith(SQLITE_AWAY + POSTGRESQL_AWAY)


def is_lock_timeout(error: DBAPIError) -> bool:
    """Tell whether PostgreSQL's lock_timeout was over before a row was free."""
    return code_of(error) == "55P03"


def code_of(error: DBAPIError) -> str:
    """Return PostgreSQL's code of an error, or SQLite's name of its; empty if it has none."""
    name = getattr(error.orig, "sqlite_errorname", None)
    return str(name or getattr(error.orig, "sqlstate", None) or "")
