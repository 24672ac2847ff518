"""The tables of the durable queue: jobs, and the last tick of each schedule."""

import enum
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    JSON,
    BindParameter,
    CheckConstraint,
    Double,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
    literal,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from uuid_utils.compat import uuid7

from app.database import Base, UTCDateTime


class db_now(FunctionElement[datetime]):  # noqa: N801  (used as a function of SQL)
    """The time some seconds from now, by the database's clock: those of workers may differ."""

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
    # As SQLAlchemy writes times: with six digits of a second, of which SQLite knows three.
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


class State(enum.StrEnum):
    """The state of a job. Only `retry` brings it back from `dead` and `discarded`."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    DISCARDED = "discarded"


class Priority(enum.IntEnum):
    """Which of the due jobs begin first. Of equal ones, those that have been due longer."""

    HIGH = 1
    NORMAL = 0
    LOW = -1


class Job(Base):
    """A piece of work, committed together with the data that it is about."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'dead', 'discarded')", name="state"
        ),
        # For dispatch. It holds the waiting jobs alone: most of the table is finished jobs. The
        # name is for passing over those whose kind may not begin now.
        Index(
            "ix_jobs_due",
            "priority",
            "due_at",
            "id",
            "name",
            postgresql_where=text("state = 'waiting'"),
            sqlite_where=text("state = 'waiting'"),
        ),
        # For recovery, among others: few jobs run at a time, so `leased_until` needs no index, and
        # PostgreSQL renews leases without touching one.
        Index("ix_jobs_state_name", "state", "name"),
        Index("ix_jobs_finished_at", "finished_at"),
    )

    # Ordered by time within a process: jobs that are due at the same time begin in this order.
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str] = mapped_column(String(100))
    args: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), default=State.WAITING)
    priority: Mapped[int] = mapped_column(
        SmallInteger, default=Priority.NORMAL, server_default=text("0")
    )
    # When it is to run at the earliest; empty once it has started.
    due_at: Mapped[datetime | None]
    # When the lease of `worker` ends and others may take the job; empty while nobody leases it.
    leased_until: Mapped[datetime | None]
    lease: Mapped[int] = mapped_column(default=0)  # the lease's number, raised by each new one
    worker: Mapped[str | None] = mapped_column(String(100))  # the last that leased it
    attempt: Mapped[int] = mapped_column(default=0)  # raised whenever it starts
    # `name:key`: of each, one job waits. Empty once it has started.
    unique_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    error: Mapped[str | None] = mapped_column(Text)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    def __repr__(self) -> str:
        return f"<Job {self.name} {self.id} {self.state}>"


# Without the ORM, which would cost the engine more than its statements themselves.
jobs = cast(Table, Job.__table__)

# Nobody works on a job any more, even if its state says so.
LEASE_OVER = jobs.c.leased_until.is_(None) | (jobs.c.leased_until <= db_now())


class Schedule(Base):
    """The last tick of a recurring job for which a job was enqueued."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    tick: Mapped[datetime]
