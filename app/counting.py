"""Numbers of rows for people to read: exact while they are small, and never slow."""

from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

# The largest number that is counted row by row: about a millisecond.
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows, and how well it is known: "", "about" or "more than"."""

    number: int
    precision: str = ""

    def __str__(self) -> str:
        return f"{self.precision} {self.number:,}".strip()


class explain(Executable, ClauseElement):  # noqa: N801  (used as a function of SQL)
    """PostgreSQL's plan of a query, as JSON."""

    inherit_cache = False

    def __init__(self, query: Select[int]) -> None:
        self.query = query


@compiles(explain)
def _explain(element: explain, compiler: SQLCompiler, **options: object) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.query, **options)}"


async def count(session: AsyncSession, query: Select[int]) -> Count:
    """Count the rows of a query: exactly up to 10,000.

    Beyond that PostgreSQL's planner estimates, from statistics that it keeps itself, and two digits
    of that are shown; on SQLite, and where the estimate cannot be right, it is "more than 10,000".
    """
    some = query.limit(MOST_COUNTED + 1).subquery()
    counted = (await session.execute(select(func.count()).select_from(some))).scalar_one()
    if counted <= MOST_COUNTED:
        return Count(counted)
    if session.get_bind().dialect.name == "postgresql":
        [plan] = (await session.execute(explain(query))).scalar_one()
        estimated = int(plan["Plan"]["Plan Rows"])
        if estimated > MOST_COUNTED:
            return Count(int(float(f"{estimated:.1e}")), "about")
    return Count(MOST_COUNTED, "more than")
