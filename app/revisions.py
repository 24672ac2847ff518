"""The database's schema compared with the code's."""

import enum
import re
from collections.abc import Sequence

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Config
from app.database import Base
from app.environment import PROJECT_ROOT
from app.errors import NotReady

VERSION_TABLE = "alembic_version"

MERGE = "Run: python manage.py db merge heads -m 'Merge migrations', then db upgrade"


# What a migration's file says about itself: one name, none, or several in brackets. Not read by
# `ast.parse`, which on Python 3.11 fails now and then beside another thread that uses it.
ASSIGNED = r"^{}\b[^=\n]*=\s*(\([^)]*\)|\[[^\]]*\]|.*)$"
REVISION = re.compile(ASSIGNED.format("revision"), re.MULTILINE)
DOWN_REVISION = re.compile(ASSIGNED.format("down_revision"), re.MULTILINE)
QUOTED = re.compile(r"[\"']([^\"']+)[\"']")


class Schema(enum.Enum):
    """The state of the database's schema, compared with the code's."""

    EMPTY = "has no tables yet"
    BEHIND = "is behind the code"
    INCOMPLETE = "lacks the tables of its revision"  # stamped without having been migrated
    CURRENT = "is current"
    AHEAD = "is ahead of the code"  # migrated by a newer release; this one can still serve
    FOREIGN = "belongs to another application"


class Revisions:
    """The migrations that this code has, read once.

    Their files are not executed, and Alembic is not imported, which takes 5 MiB that no web process
    needs.
    """

    def __init__(self) -> None:
        known: set[str] = set()
        before: set[str] = set()
        for path in (PROJECT_ROOT / "alembic" / "versions").glob("[!.]*.py"):
            text = path.read_text("utf-8", errors="replace")
            known |= _named(REVISION.search(text))
            before |= _named(DOWN_REVISION.search(text))
        self.known, self.heads = frozenset(known), frozenset(known - before)

    def two_heads(self) -> str:
        """Return words that say between which migrations there is no order."""
        return f"{len(self.heads)} migrations are the newest: {', '.join(sorted(self.heads))}."

    async def schema(self, connection: AsyncConnection) -> Schema:
        """Compare the schema of a database with these migrations."""
        tables, current = await connection.run_sync(_tables_and_revisions)
        if self._taken(tables, current):
            return Schema.FOREIGN
        if current is None:
            return Schema.BEHIND if tables else Schema.EMPTY
        if current == self.heads:
            return Schema.CURRENT if tables else Schema.INCOMPLETE
        return Schema.AHEAD if current - self.known else Schema.BEHIND

    async def taken(self, connection: AsyncConnection) -> list[str]:
        """Return the names of tables that another application has and this one needs."""
        return self._taken(*await connection.run_sync(_tables_and_revisions))

    def _taken(self, tables: set[str], current: set[str] | None) -> list[str]:
        # A database is this application's own if it was stamped with a migration that is known, or
        # if it has most of the tables: a newer release may have stamped it.
        if (current or set()) & self.known or 2 * len(tables) > len(Base.metadata.tables):
            return []
        return sorted(tables | ({VERSION_TABLE} if current else set()))

    async def require_own(self, connection: AsyncConnection, settings: Config) -> None:
        """Raise `NotReady` if the database is another application's."""
        if names := await self.taken(connection):
            raise NotReady(f"{in_use(names)} {own_database(settings)}")


def _named(assigned: re.Match[str] | None) -> set[str]:
    return set(QUOTED.findall(re.sub("#.*", "", assigned[1]))) if assigned else set()


def _tables_and_revisions(connection: Connection) -> tuple[set[str], set[str] | None]:
    """Return the tables that have names of ours, and how the database is stamped, if at all."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names()) & set(Base.metadata.tables)
    if not inspector.has_table(VERSION_TABLE):
        return tables, None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return tables, set(found.scalars())


def in_use(names: Sequence[str]) -> str:
    """Return words for tables that another application has under names of ours."""
    return (
        "Another application has its tables in this database, under names that this one needs: "
        f"{', '.join(names)}."
    )


def own_database(settings: Config) -> str:
    """Return what to do about them."""
    schema = "" if settings.sqlite else ", or a schema: add ?options=-csearch_path%3DNAME to it"
    return f"Name a database of its own in DATABASE_URL{schema}."
