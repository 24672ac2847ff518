"""The job that this task runs, for what lies below the jobs and wants to know."""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


class GiveUp(Exception):
    """Trying again is of no use: the job is dead at once, and this text says why."""


class LeaseLost(Exception):
    """Another worker has this job by now, so what this one does no longer counts."""


@dataclass(slots=True)
class Current:
    """A job at its `attempt`th run. Once another worker takes it over, its lease has a higher number."""

    id: UUID
    name: str
    attempt: int
    lease: int
    completed: bool = False  # in a transaction of its own
    reported_at: float = 0.0  # when it last told how far it is, by the process' monotonic clock

    @property
    def key(self) -> tuple[UUID, int]:
        """What its outcome is recorded under."""
        return self.id, self.lease


current: ContextVar[Current | None] = ContextVar("current_job", default=None)
