"""A SELECT that is built and compiled once, for what every request asks the database."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from asyncpg.exceptions import LockNotAvailableError, QueryCanceledError
from sqlalchemy import Dialect, Select
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql.compiler import SQLCompiler

from app.database import Database

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Form:
    """A statement as asyncpg takes it: text, names and conversions of values, and of columns."""

    text: str
    values: tuple[tuple[str, Convert | None], ...]
    columns: tuple[tuple[str, Convert | None], ...]


class _AskAgain(Exception):
    """The driver could not answer."""


class PreparedSelect:
    """A SELECT of one row at most, which runs as directly as the driver allows.

    On PostgreSQL that is on asyncpg's own connection, out of the pool and with the time-outs of
    everything else, as a transaction of its own: what SQLAlchemy does around a query costs several
    times the query. Behind PgBouncer, which may give each message outside of a transaction another
    server, and on SQLite, it runs by SQLAlchemy.
    """

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._forms: dict[Dialect, Form] = {}

    async def first(self, database: Database, **values: Any) -> Mapping[str, Any] | None:
        """Return the row for these values, or None.

        A connection that turns out to be dead costs one more attempt. Raises as SQLAlchemy does.
        """
        if database.is_direct:
            with suppress(_AskAgain):
                return await self._first(database, values)
        async with database.connect() as connection:
            rows = await connection.execute(self._statement, values)
            return cast(Mapping[str, Any] | None, rows.mappings().one_or_none())

    async def _first(
        self, database: Database, values: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Ask asyncpg. Raises `_AskAgain` if SQLAlchemy should, which raises what it should."""
        dialect = database.engine.dialect
        try:
            pooled = await database.engine.raw_connection()
        except dialect.loaded_dbapi.Error:  # which SQLAlchemy does not wrap here
            raise _AskAgain from None
        driver = pooled.driver_connection
        try:
            row = await self._fetch(dialect, driver, values)
        except (QueryCanceledError, LockNotAvailableError) as error:
            # A time-out of the server's, which another attempt would only double.
            pooled.close()
            raise OperationalError(str(self._statement), None, error) from error
        except BaseException as error:
            pooled.invalidate()  # whatever it was, nobody should have to deal with it
            if isinstance(error, TimeoutError) or not isinstance(error, Exception):
                raise
            raise _AskAgain from error
        pooled.close()
        return row

    async def _fetch(
        self, dialect: Dialect, driver: Any, values: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        form = self._forms.get(dialect)
        if form is None:
            form = self._forms[dialect] = _form(self._statement, dialect)
        arguments = (
            convert(values[name]) if convert else values[name] for name, convert in form.values
        )
        row = await driver.fetchrow(form.text, *arguments)
        if row is None:
            return None
        return {
            name: convert(value) if convert else value
            for (name, convert), value in zip(form.columns, row, strict=True)
        }


def _form(statement: Select[Any], dialect: Dialect) -> Form:
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101  (for the type checker)
    values = tuple(
        (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
        for name in compiled.positiontup or ()
    )
    columns = tuple(
        (str(column.key), column.type.dialect_impl(dialect).result_processor(dialect, None))
        for column in statement.selected_columns
    )
    return Form(compiled.string, values, columns)
