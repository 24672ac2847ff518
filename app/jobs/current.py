"""The job that this task runs, for what lies below the jobs and wants to know."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

Key = tuple[UUID, int]


class GiveUp(Exception):
    """Trying again is of no use: the job is dead at once, and this text says why."""


class LeaseLost(Exception):
    """Another worker has this job by now, so what this one does no longer counts."""


@dataclass(slots=True)
class Leased:
    """A job that this worker may start, or has.

    Once another worker takes it over, its lease has a higher number.
    """

    id: UUID
    name: str
    args: dict[str, Any]
    lease: int
    attempt: int  # how often it has been started
    completed: bool = False  # in a transaction of its own
    reported_at: float = 0.0  # when it last told how far it is, by the process' monotonic clock

    @property
    def key(self) -> Key:
        """What its outcome is recorded under."""
        return self.id, self.lease


current: ContextVar[Leased | None] = ContextVar("current_job", default=None)
