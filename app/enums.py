"""Columns of enums: text, whose values a CHECK constraint lists, so the same on both databases.

PostgreSQL's own enum types outlive their tables, cannot lose a value, and are not seen by Alembic.
"""

import enum
import re

from sqlalchemy import CheckConstraint, Column, Enum, MetaData, Table, event

LENGTH = 64

# The values that a constraint such as "state IN ('open', 'closed')" lists.
VALUES = re.compile(r"'((?:[^']|'')*)'")
PARAMETER = re.compile(r"(?<![:\w]):\w+(?!:)")  # as SQLAlchemy finds them in text
LISTS_VALUES = re.compile(r'(?s)\s*"?\w+"? IN \(.*\)\s*')


def values(kind: type[enum.Enum]) -> list[str]:
    """Return what the database stores of an enum: the members' values."""
    return [str(member.value) for member in kind]


# The type of a column that is annotated with an enum: `state: Mapped[State]`.
EnumText = Enum(enum.Enum, native_enum=False, length=LENGTH, values_callable=values)


def check_enums(metadata: MetaData) -> None:
    """Give every column of an enum a constraint, which has the column's name."""

    @event.listens_for(Column, "after_parent_attach")
    def check(column: Column[object], table: object) -> None:
        if not isinstance(table, Table) or table.metadata is not metadata:
            return  # a copy, which has copies of the constraints as well
        if isinstance(column.type, Enum) and not column.type.native_enum:
            listed = ", ".join("'{}'".format(v.replace("'", "''")) for v in column.type.enums)
            if PARAMETER.search(listed):
                raise ValueError(
                    f"{table.name}.{column.name}: a value of its enum has a colon before a word, "
                    "which SQL takes for a parameter."
                )
            table.append_constraint(
                CheckConstraint(f'"{column.name}" IN ({listed})', name=str(column.name))
            )


def native_enums(metadata: MetaData) -> list[str]:
    """Return the names of the columns that PostgreSQL would give an enum type of its own."""
    return [
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Enum) and column.type.native_enum
    ]


def listed_values(condition: str) -> set[str]:
    """Return the values in a constraint's text, which PostgreSQL spells in its own way."""
    return {value.replace("''", "'") for value in VALUES.findall(condition)}
