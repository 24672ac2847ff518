"""What is asked of the list of jobs, and jobs as administrators see them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from app.jobs.models import Job, State
from app.jobs.queue import KINDS
from app.keyset import ListQuery


class JobsQuery(ListQuery):
    """Which jobs."""

    state: State = Field(State.WAITING, description="The state that the jobs are in.")


class JobRow(BaseModel):
    """A job in a list."""

    id: UUID
    name: str = Field(examples=["accounts.send_link"])
    state: State
    attempt: int
    max_attempts: int | None = Field(description="null if this release does not know the job.")
    created_at: datetime
    due_at: datetime | None
    finished_at: datetime | None
    error: str | None

    @classmethod
    def facts(cls, job: Job) -> dict[str, Any]:
        """Return the fields of a row."""
        kind = KINDS.get(job.name)
        facts = {name: getattr(job, name) for name in cls.model_fields if name != "max_attempts"}
        return facts | {"max_attempts": kind.max_attempts if kind else None}

    @classmethod
    def of(cls, job: Job) -> "JobRow":
        """Build it from a row."""
        return cls(**cls.facts(job))


class JobRows(BaseModel):
    """A page of the jobs in one state."""

    items: list[JobRow]
    next: str | None


class JobOut(JobRow):
    """Everything about a job."""

    args: dict[str, Any]
    started_at: datetime | None
    leased_until: datetime | None
    worker: str | None
    progress: dict[str, Any] | None

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        """Build it from a row."""
        return cls(**cls.facts(job))
