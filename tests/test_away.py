"""Which errors mean that a service is away."""

import errno
import sqlite3
from pathlib import Path
from socket import gaierror
from ssl import SSLCertVerificationError

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolExhausted

from app.away import AWAY, is_away
from app.config import load_settings
from app.database import create_engine
from app.errors import NotFound, NotReady


class OfPostgresql(Exception):
    """An error of PostgreSQL's driver, which carries a code."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


def of_sqlite(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as planned")
    error.sqlite_errorname = name
    return error


def of_driver(name: str, message: str) -> Exception:
    error: Exception = getattr(AsyncAdapt_asyncpg_dbapi, name)(message)
    return error


def caused_by(cause: Exception) -> SQLAlchemyError:
    error = SQLAlchemyError("as planned")
    error.__cause__ = cause
    return error


IS_AWAY: list[Exception] = [
    ConnectionRefusedError(),
    TimeoutError(),
    gaierror("no such host"),
    SSLCertVerificationError("certificate has expired"),
    NotReady(),
    PoolExhausted("QueuePool limit"),
    RedisConnectionError(),
    OperationalError("", {}, OfPostgresql("57P01")),
    OperationalError("", {}, OfPostgresql("40P01")),
    *(
        OperationalError("", {}, OfPostgresql(code))
        for code in ("28P01", "3D000", "40001", "55P03", "53300", "25006", "25P03", "57014")
    ),
    OperationalError("", {}, of_sqlite("SQLITE_BUSY_SNAPSHOT")),
    OperationalError("", {}, of_sqlite("SQLITE_LOCKED_SHAREDCACHE")),
    OperationalError("", {}, of_sqlite("SQLITE_SCHEMA")),
    NotSupportedError("", {}, of_driver("InvalidCachedStatementError", "stale")),
    DBAPIError("", {}, of_driver("InternalServerError", "cache lookup failed for type 7")),
    InterfaceError("", {}, Exception()),
    DBAPIError("", {}, Exception(), connection_invalidated=True),
    caused_by(ConnectionResetError()),
]

IS_NOT: list[Exception] = [
    FileNotFoundError(),
    RuntimeError(),
    NotFound(),
    IntegrityError("", {}, OfPostgresql("23505")),
    ProgrammingError("", {}, OfPostgresql("42703")),
    OperationalError("", {}, OfPostgresql("25P02")),
    NotSupportedError("", {}, OfPostgresql("0A000")),
    DBAPIError("", {}, of_driver("InternalServerError", "out of range")),
    OperationalError("", {}, of_sqlite("SQLITE_ERROR")),
    SQLAlchemyError(),
    caused_by(ValueError()),
]


@pytest.mark.parametrize("error", IS_AWAY, ids=repr)
def test_a_service_is_away(error: Exception) -> None:
    assert is_away(error)
    assert isinstance(error, (*AWAY, NotReady))


@pytest.mark.parametrize("error", IS_NOT, ids=repr)
def test_a_mistake_is_no_service_that_is_away(error: Exception) -> None:
    assert not is_away(error)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), ConnectionError),
        (PermissionError(errno.EACCES, "Permission denied"), ConnectionError),
        (OSError(errno.EHOSTUNREACH, "No route to host"), ConnectionError),
        (OSError("Multiple exceptions: [Errno 111], [Errno 111]"), ConnectionError),
        (ConnectionRefusedError(), ConnectionRefusedError),
        (SSLCertVerificationError("certificate has expired"), SSLCertVerificationError),
        (gaierror("no such host"), gaierror),
        (TimeoutError(), TimeoutError),
    ],
    ids=repr,
)
async def test_whatever_prevents_a_connection_means_that_it_is_away(
    monkeypatch: pytest.MonkeyPatch, raised: OSError, expected: type[OSError]
) -> None:
    async def refuse(**_: object) -> None:
        raise raised

    monkeypatch.setattr("asyncpg.connect", refuse)
    settings = load_settings("testing").model_copy(
        update={"DATABASE_URL": "postgresql+asyncpg:///test"}
    )
    with pytest.raises(expected) as caught:
        async with create_engine(settings).connect():
            """Never reached."""
    assert is_away(caught.value)
    assert str(caught.value) == str(raised)


async def test_a_socket_that_is_not_there_is_a_database_that_is_away(tmp_path: Path) -> None:
    settings = load_settings("testing").model_copy(
        update={"DATABASE_URL": f"postgresql+asyncpg:///test?host={tmp_path}"}
    )
    with pytest.raises(ConnectionError, match="No such file"):
        async with create_engine(settings).connect():
            """Never reached."""
