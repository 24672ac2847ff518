"""The database: `Base` for tables, `db` for the sessions of the current application."""

import asyncio
import enum
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from quart import current_app
from sqlalchemy import Connection, DateTime, Dialect, MetaData, NullPool, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator
from werkzeug.local import LocalProxy

from app.away import connect_postgresql
from app.booleans import check_booleans
from app.config import Config
from app.enums import EnumText, check_enums
from app.errors import NotReady
from app.patches.aiosqlite_cancelled_connects import connect_sqlite
from app.validators.postgresql_url import connecting

# Seconds that a connection may have been idle and still be used without a sign of life. The driver
# knows of one that the server has closed; a firewall that forgets it says nothing.
TRUSTED_IDLE = 1.0


def utcnow() -> datetime:
    """Return the current time, aware of its time zone."""
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """A datetime in UTC, aware of its time zone on both databases (SQLite stores none)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC. Raises `ValueError` for a datetime without a time zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be stored: use utcnow()")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the datetime as UTC."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """The parent of all tables. Constraints get fixed names, so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime, enum.Enum: EnumText}  # noqa: RUF012  (SQLAlchemy's own way to declare it)


check_enums(Base.metadata)
check_booleans(Base.metadata)


def after_commit(session: AsyncSession, callback: Callable[[], object]) -> None:
    """Call `callback` once the `transaction` of this session has committed; never if it fails."""
    session.info.setdefault("after_commit", {})[callback] = True


def is_committed(session: AsyncSession) -> bool:
    """Tell whether a session belongs to a `transaction`: the end of any other rolls back."""
    return not session.info.get("reads")


def insert_into(session: AsyncSession, table: type["Base"]) -> Any:
    """Return an INSERT with ON CONFLICT, which each dialect has as a construct of its own."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return insert(table)


class Database:
    """An engine and its sessions.

    Reads: `async with db.session() as session`. Writes: `async with db.transaction() as session`,
    which commits when its block ends and rolls back when that raises. A session belongs to one
    task.
    """

    def __init__(self, settings: Config) -> None:
        self.engine = create_engine(settings)
        # Whether one statement may run outside of a transaction, past SQLAlchemy.
        self.is_direct = not (settings.sqlite or _is_behind_pgbouncer(settings))
        self._reading = async_sessionmaker(
            self.engine, expire_on_commit=False, info={"reads": True}
        )
        self._writer = self.engine.execution_options(sqlite_writes=True)
        self._writing = async_sessionmaker(self._writer, expire_on_commit=False)
        self._turn = asyncio.Lock() if settings.sqlite else None
        self._patience = settings.SQLITE_BUSY_TIMEOUT

    def session(self) -> AsyncSession:
        """Return a session for reading. What it writes is rolled back: use `transaction`."""
        return self._reading()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a session in a transaction: leaving the block commits, raising rolls back."""
        async with self._in_turn(), self._writing.begin() as session:
            yield session
        for callback in session.info.get("after_commit", ()):
            callback()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection in a transaction, without the cost of the ORM: for frequent writes."""
        async with self._in_turn(), self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Queue the writers of this process, first come, first served.

        SQLite has one writer at a time. Those that wait for its lock poll it every 0.1 s in no
        order, so some would starve.
        """
        waited = False
        if self._turn:
            with suppress(TimeoutError):  # then SQLite's own error says that it is locked
                async with asyncio.timeout(self._patience):
                    waited = await self._turn.acquire()
        try:
            yield
        finally:
            if waited and self._turn:
                self._turn.release()

    def connect(self) -> AsyncConnection:
        """Return a connection for reading, without the cost of the ORM: for the hot path."""
        return self.engine.connect()

    async def dispose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


db = cast(Database, LocalProxy(lambda: current_app.extensions["database"]))


def create_engine(settings: Config, *, for_requests: bool = True) -> AsyncEngine:
    """Create an engine for the configured database.

    Without `for_requests` it pools no connections, so there is nothing to dispose of, and sets no
    time-outs on statements, since migrations may take long.
    """
    pool = _pool(settings) if for_requests else {"poolclass": NullPool}
    return (_sqlite_engine if settings.sqlite else _postgresql_engine)(settings, for_requests, pool)


def _postgresql_engine(settings: Config, for_requests: bool, pool: dict[str, Any]) -> AsyncEngine:
    given = connecting(make_url(settings.DATABASE_URL))
    pgbouncer = _is_behind_pgbouncer(settings)
    server_settings = {"application_name": settings.APP_NAME, "jit": "off"} | given.server_settings
    arguments: dict[str, Any] = {
        "async_creator_fn": connect_postgresql,
        "timeout": settings.DATABASE_CONNECT_TIMEOUT,
        "server_settings": server_settings,
        **given.arguments,
    }
    if pgbouncer:
        # A transaction pooler gives each transaction another server connection: neither settings
        # nor prepared statements may outlive one.
        del server_settings["jit"]
        arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    if for_requests:
        arguments["command_timeout"] = settings.DATABASE_COMMAND_TIMEOUT
    if for_requests and not pgbouncer:
        server_settings |= {
            "statement_timeout": _milliseconds(settings.DATABASE_STATEMENT_TIMEOUT),
            "lock_timeout": _milliseconds(settings.DATABASE_LOCK_TIMEOUT),
            "idle_in_transaction_session_timeout": _milliseconds(settings.DATABASE_IDLE_TIMEOUT),
        }
    engine = create_async_engine(given.url, connect_args=arguments, hide_parameters=True, **pool)
    if for_requests:
        _replace_dead_connections(engine)
    return engine


def _is_behind_pgbouncer(settings: Config) -> bool:
    return settings.DATABASE_PGBOUNCER or connecting(make_url(settings.DATABASE_URL)).pgbouncer


def _replace_dead_connections(engine: AsyncEngine) -> None:
    """Have the pool replace connections that are dead, without asking the server at each use."""

    @event.listens_for(engine.sync_engine, "checkin")
    def note(connection: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def require_life(connection: Any, record: Any, proxy: object) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError
        now = time.monotonic()
        if now - record.info.get("used_at", now) > TRUSTED_IDLE:
            try:
                connection.ping()
            except Exception as error:
                raise DisconnectionError from error


def _sqlite_engine(settings: Config, for_requests: bool, pool: dict[str, Any]) -> AsyncEngine:
    url = settings.DATABASE_URL
    arguments = {"timeout": settings.SQLITE_BUSY_TIMEOUT, "async_creator_fn": connect_sqlite}
    engine = create_async_engine(url, connect_args=arguments, hide_parameters=True, **pool)
    folder = Path(str(engine.url.database)).absolute().parent

    @event.listens_for(engine.sync_engine, "do_connect")
    def require_folder(*_: Any) -> None:
        if folder == settings.INSTANCE_PATH:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not folder.is_dir():
            raise NotReady(
                f"The folder {folder} of the database does not exist: make it, or correct "
                "DATABASE_URL."
            )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, record: object) -> None:
        # The driver begins its own transactions too late, and never around DDL. So it begins none,
        # and `begin` below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        # NORMAL: in WAL mode a power cut may lose the last commits, but corrupts nothing.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "invalidate")
    def roll_back(connection: Any, record: object, error: BaseException | None) -> None:
        # The pool closes the connection of a cancelled request. SQLite really closes it, and drops
        # its lock, when the last statement ends: for one that was cut short that is when the
        # garbage collector comes by.
        with suppress(Exception):  # closed already
            connection.run_async(lambda driver: asyncio.shield(driver.rollback()))

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: of two that began as readers, one would have to fail.
        writes = connection.get_execution_options().get("sqlite_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _pool(settings: Config) -> dict[str, Any]:
    return {
        "pool_size": settings.DATABASE_POOL_SIZE,
        "max_overflow": 0,  # overflow would open and close a connection for each request of a burst
        "pool_timeout": settings.DATABASE_POOL_TIMEOUT,
        "pool_recycle": settings.DATABASE_POOL_RECYCLE,
        "pool_use_lifo": True,  # so that a few are in use, rather than all once in a while
    }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
