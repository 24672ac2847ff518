"""The durable queue: jobs, and the last tick of each schedule."""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BindParameter,
    CheckConstraint,
    Double,
    Index,
    String,
    Text,
    literal,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.database import Base, UTCDateTime


class db_now(FunctionElement[datetime]):  # noqa: N801  (used as a function of SQL)
    """So many seconds from now, by the database's clock: those of workers may differ."""

    type = UTCDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | BindParameter[float] = 0) -> None:
        super().__init__(
            literal(float(seconds), Double()) if isinstance(seconds, float | int) else seconds
        )


@compiles(db_now, "postgresql")
def _postgresql(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    return (
        "(statement_timestamp() + make_interval(secs => "
        f"{compiler.process(element.clauses, **options)}))"
    )


@compiles(db_now, "sqlite")
def _sqlite(element: db_now, compiler: SQLCompiler, **options: Any) -> str:
    # As SQLAlchemy writes moments: with six digits of a second, of which SQLite knows three.
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


class State(enum.StrEnum):
    """Where a job is. From `dead` and `discarded` it comes back only by `retry`."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    DISCARDED = "discarded"


class Job(Base):
    """A piece of work, committed together with the data that it is about."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'dead', 'discarded')", name="state"
        ),
        # What may be taken, in order; the rest of the table, which is most of it, is not in this
        # index.
        Index(
            "ix_jobs_due",
            "due_at",
            postgresql_where=text("state IN ('waiting', 'running')"),
            sqlite_where=text("state IN ('waiting', 'running')"),
        ),
        Index("ix_jobs_state_name", "state", "name"),
        Index("ix_jobs_finished_at", "finished_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(100))
    args: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), default=State.WAITING)
    # From when on a worker may take it. While one has it: when its lease ends, so that another may.
    due_at: Mapped[datetime]
    lease: Mapped[int] = mapped_column(default=0)  # raised whenever a worker takes it
    worker: Mapped[str | None] = mapped_column(String(100))
    attempt: Mapped[int] = mapped_column(default=0)  # raised whenever it starts
    unique_key: Mapped[str | None] = mapped_column(
        String(200), unique=True
    )  # none once it has started
    error: Mapped[str | None] = mapped_column(Text)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    def __repr__(self) -> str:
        return f"<Job {self.name} {self.id} {self.state}>"


class Schedule(Base):
    """The last tick of a recurring job that has become a job."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    tick: Mapped[datetime]
