"""Columns of enums."""

import enum

import pytest
from sqlalchemy import CheckConstraint, MetaData, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.enums import EnumText, check_enums


def table_of(kind: type[enum.Enum]) -> Table:
    class Ours(DeclarativeBase):
        metadata = MetaData()
        type_annotation_map = {enum.Enum: EnumText}  # noqa: RUF012

    check_enums(Ours.metadata)

    class Thing(Ours):
        __tablename__ = "things"
        id: Mapped[int] = mapped_column(primary_key=True)
        order: Mapped[kind]  # type: ignore[valid-type]

    return Thing.__table__  # type: ignore[return-value]


def test_a_column_lists_its_values_whatever_its_name() -> None:
    kind = enum.Enum("kind", {"ONE": "it's", "TWO": "a:b", "THREE": "10: 20"})
    [check] = [c for c in table_of(kind).constraints if isinstance(c, CheckConstraint)]
    assert str(check.sqltext) == "\"order\" IN ('it''s', 'a:b', '10: 20')"


def test_a_value_that_sql_would_take_for_a_parameter_is_refused() -> None:
    kind = enum.Enum("kind", {"ONE": "a :b"})
    with pytest.raises(ValueError, match=r"things\.order: a value of its enum has a colon"):
        table_of(kind)
