"""Alembic 1.20: on SQLite a batch copies computed columns too, which the database refuses.

So whoever alters a table that has one could not.
"""

from alembic.operations.batch import ApplyBatchImpl

_plain = ApplyBatchImpl._grab_table_elements


def _without_computed(self: ApplyBatchImpl) -> None:
    _plain(self)
    for column in self.table.c:
        if column.computed is not None:
            self.column_transfers[column.name].pop("expr", None)


def leave_out_computed_columns() -> None:
    """Let the database compute them in the rebuilt table. Idempotent."""
    ApplyBatchImpl._grab_table_elements = _without_computed  # type: ignore[method-assign]
