"""Keyset pagination, also called cursor or seek pagination: lists that are read in pages.

A page begins after the last row of the one before, found by an index, and not after a number of
rows (OFFSET). So the thousandth page costs what the first one does, and rows that are added or
deleted meanwhile shift nothing. There is no total: counting a large table takes longer than reading
a page of it.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer
from pydantic import Field, model_validator
from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    TypeDecorator,
    and_,
    literal,
    select,
    text,
    tuple_,
    union,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.config import settings
from app.errors import DomainError
from app.validators import Shape

Row = TypeVar("Row")
Part = Sequence[ColumnElement[bool]]

DEFAULT_LIMIT, MAX_LIMIT = 50, 100
SURROGATES = range(0xD800, 0xE000)  # code points that are no characters


class BadCursor(DomainError):
    """The cursor is not one that this list gave out."""

    code = "bad-cursor"
    status = 400
    message = "This link into the list no longer works. Begin at the first page."


class ListQuery(Shape):
    """The query string of a list. Each list subclasses it to add its filters.

    Empty values count as absent: browsers send those of empty fields.
    """

    cursor: str | None = Field(None, max_length=1000, description="`next` of the page before.")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="How many rows to return.")

    @model_validator(mode="before")
    @classmethod
    def _without_empty_values(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {name: value for name, value in data.items() if value not in ("", None)}
        return data


@dataclass(frozen=True)
class Order:
    """An order of rows: by columns that are never NULL, of which the last is the primary key.

    It needs an index over the columns of the filter followed by these. Then a page costs the same
    in a table of any size.
    """

    columns: tuple[InstrumentedAttribute[Any], ...]
    descending: bool = False

    def clauses(self) -> list[ColumnElement[Any]]:
        """Return the columns for ORDER BY."""
        return [c.desc() if self.descending else c.asc() for c in self.columns]

    def __str__(self) -> str:
        columns = ", ".join(str(column) for column in self.columns)
        return f"{columns} descending" if self.descending else columns

    def after(self, values: Sequence[Any]) -> ColumnElement[bool]:
        """Return the condition for the rows after the one with these values."""
        theirs = tuple_(*(literal(v, c.type) for c, v in zip(self.columns, values, strict=True)))
        ours = tuple_(*self.columns)
        return ours < theirs if self.descending else ours > theirs


def sorted_text(length: int) -> String:
    """Return a type of text that both databases sort by code points.

    PostgreSQL would otherwise sort by language, and an index could not serve `begins_with`.
    """
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def begins_with(column: InstrumentedAttribute[str], letters: str) -> ColumnElement[bool]:
    """Return the condition that a column begins with letters, as a range that its index serves.

    The column must be sorted by code points: see `sorted_text`.
    """
    end = _following(letters)
    return and_(column >= letters, column < end) if end else column >= letters


def _following(letters: str) -> str:
    """Return the first text after all that begin with these; "" if none comes after them."""
    shortened = letters.rstrip(chr(sys.maxunicode))
    if not shortened:
        return ""
    following = ord(shortened[-1]) + 1
    if following == SURROGATES.start:
        following = SURROGATES.stop
    return shortened[:-1] + chr(following)


@dataclass(frozen=True)
class Stage:
    """A section of a list, with an order of its own. Most lists have one.

    `parts` are alternatives: a row is in the section if it meets every condition of one of them.
    Each part is read from the index by itself and limited to one page, so that a filter by several
    values stays as fast as by one.
    """

    order: Order
    parts: Sequence[Part] = ((),)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """A page of a list; `next` is the cursor of the following one, or None."""

    items: list[Row]
    next: str | None = None
    is_first: bool = True


async def load(
    session: AsyncSession, query: Select[Row], stages: Sequence[Stage], wanted: ListQuery
) -> Page[Row]:
    """Load a page: the rows of one stage after the other, beginning at the cursor.

    `query` selects an entity; its joins and loader options are kept. Raises `BadCursor`.
    """
    number, values = _read_cursor(wanted.cursor, stages) if wanted.cursor else (0, None)
    if len(stages) > 1 and session.get_bind().dialect.name == "postgresql":
        # The planner misjudges how many rows begin with some letters. Expecting few, it would read
        # all of them by a bitmap and sort them, though the index has them in order.
        await session.execute(text("SET LOCAL enable_bitmapscan = off"))
    rows: list[Any] = []
    of_stage: list[int] = []
    for index, stage in enumerate(stages[number:], number):
        missing = wanted.limit + 1 - len(rows)
        found = (await session.execute(_statement(query, stage, values, missing))).scalars().all()
        rows += found
        of_stage += [index] * len(found)
        values = None
        if len(rows) > wanted.limit:
            break
    shown, cursor = rows[: wanted.limit], None
    if len(rows) > wanted.limit:
        last = of_stage[wanted.limit - 1]
        values = [getattr(shown[-1], c.key) for c in stages[last].order.columns]
        cursor = _cursor(stages, last, values)
    return Page(shown, cursor, is_first=not wanted.cursor)


def _statement(
    query: Select[Row], stage: Stage, after: Sequence[Any] | None, limit: int
) -> Select[Row]:
    order = stage.order
    begins = [order.after(after)] if after else []
    if len(stage.parts) == 1:
        found = query.where(*stage.parts[0], *begins)
    else:
        # With OR, PostgreSQL would read all rows that match before it sorts and limits them.
        pieces = [
            select(
                select(*order.columns)
                .where(*part, *begins)
                .order_by(*order.clauses())
                .limit(limit)
                .subquery()
            )
            for part in stage.parts
        ]
        key = order.columns[-1]
        found = query.where(key.in_(select(union(*pieces).subquery().c[key.key])))
    return found.order_by(*order.clauses()).limit(limit)


def _serializer(stages: Sequence[Stage]) -> URLSafeSerializer:
    """Return what signs cursors. The orders are its salt, so a cursor fits its own list only."""
    keys = [*reversed(settings.SECRET_KEY_FALLBACKS), settings.SECRET_KEY]
    orders = "; ".join(str(stage.order) for stage in stages)
    return URLSafeSerializer([str(key) for key in keys], salt=f"cursor: {orders}")


def _cursor(stages: Sequence[Stage], stage: int, values: Sequence[Any]) -> str:
    return str(_serializer(stages).dumps([stage, *(_plain(value) for value in values)]))


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _read_cursor(cursor: str, stages: Sequence[Stage]) -> tuple[int, list[Any]]:
    try:
        stage, *values = _serializer(stages).loads(cursor)
        columns = stages[stage].order.columns
        return stage, [_typed(c, v) for c, v in zip(columns, values, strict=True)]
    except (BadData, ValueError, TypeError, IndexError):
        raise BadCursor from None


def _typed(column: InstrumentedAttribute[Any], value: Any) -> Any:
    stored = column.type
    kind = (stored.impl_instance if isinstance(stored, TypeDecorator) else stored).python_type
    if issubclass(kind, date):
        return kind.fromisoformat(value)
    if kind is UUID:
        return UUID(value)
    return value
