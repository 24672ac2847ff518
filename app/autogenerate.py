"""What `db check` and `db migrate` compare, beyond and below what Alembic does by itself."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, TypeVar

from alembic.autogenerate.api import AutogenContext
from alembic.ddl._autogen import ComparisonResult
from alembic.ddl.impl import DefaultImpl
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations import ops
from alembic.script import Script, ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import CheckConstraint, DefaultClause, Enum

from app.booleans import as_boolean
from app.database import Base, UTCDateTime
from app.enums import LISTS_VALUES, listed_values

# Names of tables in migrations: the first arguments of these.
CREATE = {"create_table": 1, "rename_table": 2}


def created_tables(script: ScriptDirectory) -> set[str]:
    """Return the names of all tables that a migration creates, also of those dropped later."""
    found = set()
    for revision in script.walk_revisions():
        for call in ast.walk(_tree(revision)):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                for argument in call.args[: CREATE.get(call.func.attr, 0)]:
                    if isinstance(argument, ast.Constant):
                        found.add(str(argument.value))
    return found


def indexes_of_models() -> set[str]:
    """Return the names of all indexes of models."""
    tables = Base.metadata.tables.values()
    return {str(index.name) for table in tables for index in table.indexes}


def words_of_migrations(script: ScriptDirectory) -> set[str]:
    """Return every text in a migration's code: among them are the names of all that it makes."""
    return {
        node.value
        for revision in script.walk_revisions()
        for node in ast.walk(_tree(revision))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _tree(revision: Script) -> ast.Module:
    return ast.parse(Path(str(revision.module.__file__)).read_text(encoding="utf-8"))


def include_ours(script: ScriptDirectory) -> Callable[..., bool]:
    """Return a filter that leaves out what neither a model nor a migration names.

    It is somebody else's: a table such as PostGIS' `spatial_ref_sys`, or an index that was added to
    a table of ours by hand. What is ours and has left the models is compared, so that it is
    dropped; so are all columns of our tables, since one that no model knows is drift. CHECK
    constraints are compared if they are named as `Base` names them.
    """
    ours = set(Base.metadata.tables) | created_tables(script)
    indexes = indexes_of_models() | words_of_migrations(script)

    def include(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
        if kind == "check_constraint":
            return str(name).startswith("ck_")
        if kind == "index":
            return name in indexes
        return kind != "table" or name in ours

    return include


PLUGINS = ("alembic.autogenerate.*", "alembic.ext.checkconstraint_byname")


def render_item(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Write our column types into migrations as plain ones, so that old migrations outlive our
    code, and booleans as neither database spells them, so that a migration written on SQLite runs
    on PostgreSQL.
    """
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Enum):
        if not item.native_enum:
            return f"sa.String(length={item.length})"
        if item.enum_class is not None:
            raise CommandError(
                f"A column has PostgreSQL's own type for the enum {item.enum_class.__name__}, "
                "which migrations cannot change. Leave the type out, as in "
                "`state: Mapped[State]`: see docs/features.md, Enums."
            )
    if kind == "server_default" and isinstance(item, DefaultClause):
        # A column that is dropped comes from the database, as that spells it.
        value = as_boolean(item, getattr(item, "column", None))
        return False if value is None else f"sa.{str(value).lower()}()"
    return False


class ComparesValues(DefaultImpl):
    """Finds that an enum has other values than the constraint of its column.

    Alembic compares the names of CHECK constraints only, since databases spell conditions anew.
    """

    def compare_check_constraint(
        self, metadata_constraint: CheckConstraint, reflected_constraint: CheckConstraint
    ) -> ComparisonResult:
        """Compare the values that both list; conditions of other kinds count as equal."""
        wanted, found = str(metadata_constraint.sqltext), str(reflected_constraint.sqltext)
        if LISTS_VALUES.fullmatch(wanted) and listed_values(wanted) != listed_values(found):
            return ComparisonResult.Different("values")
        return ComparisonResult.Equal()


# The name of the dialect registers them.
class OnPostgresql(ComparesValues, PostgresqlImpl):
    """Alembic on PostgreSQL."""

    __dialect__ = "postgresql"

    def _normalize_computed_default(self, sqltext: str) -> str:
        # Without the types that PostgreSQL writes after texts.
        return super()._normalize_computed_default(re.sub(r"::[a-z ]+", "", sqltext))


class OnSqlite(ComparesValues, SQLiteImpl):
    """Alembic on SQLite."""

    __dialect__ = "sqlite"


def order(operations: ops.UpgradeOps | ops.DowngradeOps) -> None:
    """Put the changes of a migration in an order that PostgreSQL accepts.

    Constraints go before the columns that they are about, and come after them. A table goes before
    those that it refers to, and comes after them; Alembic drops tables in any order.
    """
    for modify in operations.ops:
        if isinstance(modify, ops.ModifyTableOps):
            modify.ops.sort(key=_turn)
    created = [each for each in operations.ops if isinstance(each, ops.CreateTableOp)]
    dropped = [each for each in operations.ops if isinstance(each, ops.DropTableOp)]
    others = [each for each in operations.ops if each not in (*created, *dropped)]
    operations.ops = [*_parents_first(created), *others, *reversed(_parents_first(dropped))]


def _turn(operation: ops.MigrateOperation) -> int:
    if isinstance(operation, ops.DropConstraintOp) and operation.constraint_type == "check":
        return 0
    return 2 if isinstance(operation, ops.CreateCheckConstraintOp) else 1


TableOp = TypeVar("TableOp", ops.CreateTableOp, ops.DropTableOp)


def _parents_first(operations: Sequence[TableOp]) -> list[TableOp]:
    named = {each.table_name: each for each in sorted(operations, key=lambda o: o.table_name)}
    graph = {name: _parents(each) & (named.keys() - {name}) for name, each in named.items()}
    try:
        return [named[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError:  # tables that refer to each other: the team orders them by hand
        return list(operations)


def _parents(operation: ops.CreateTableOp | ops.DropTableOp) -> set[str]:
    """Return the names of the tables that this one refers to."""
    keys = operation.to_table().foreign_keys
    return {key.target_fullname.split(".")[-2] for key in keys}
