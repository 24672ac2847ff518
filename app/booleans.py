"""Defaults of boolean columns, spelled so that both databases take them.

SQLite writes `0`, which PostgreSQL refuses for a boolean: `sa.false()` is written as each wants it.
"""

import re

from sqlalchemy import Boolean, Column, DefaultClause, MetaData, Table, TextClause, event
from sqlalchemy.sql.elements import False_, True_

NUMBER = re.compile(r"\(?[01]\)?")
SPELLED = {"0": False, "false": False, "1": True, "true": True}


def as_boolean(default: DefaultClause, column: Column[object] | None) -> bool | None:
    """Return the boolean that a column's default is, or None if it is no boolean."""
    if isinstance(default.arg, False_ | True_):
        return isinstance(default.arg, True_)
    if column is None or not isinstance(column.type, Boolean):
        return None
    return SPELLED.get(str(default.arg).strip("'()").lower())


def check_booleans(metadata: MetaData) -> None:
    """Refuse defaults of a model's booleans that only one of the databases takes."""

    @event.listens_for(Column, "after_parent_attach")
    def check(column: Column[object], table: object) -> None:
        if not isinstance(table, Table) or table.metadata is not metadata:
            return
        default = column.server_default
        if not isinstance(default, DefaultClause) or not isinstance(default.arg, TextClause):
            return  # a text such as '0' is taken by both
        value = as_boolean(default, column)
        if value is not None and NUMBER.fullmatch(default.arg.text):
            raise ValueError(
                f"{table.name}.{column.name}: PostgreSQL does not take this default for a boolean. "
                f"Write server_default={str(value).lower()}(), imported from sqlalchemy."
            )
