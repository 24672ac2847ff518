"""What probes look at and what they find."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quart import Quart
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Config
from app.revisions import Revisions

State = Literal["ok", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class CheckMessage:
    """A finding of `check`: what is wrong, and a hint how to put it right.

    Ids that begin with qb.E are errors, those that begin with qb.W are warnings.
    """

    id: str
    message: str
    hint: str

    @property
    def is_error(self) -> bool:
        """Whether this makes `check` fail."""
        return self.id.startswith("qb.E")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state of a component.

    Requests fail while a component is `down`, and do without it while it is `degraded`. `detail` is
    public, so it must name no host; `check` is for operators.
    """

    component: str
    state: State
    detail: str
    check: CheckMessage | None = None


@dataclass(slots=True)
class Services:
    """The services that probes look at. `app` is None where there is no application yet.

    `patience` is a probe's time-out in seconds. `database_usable` is set by the probe of the
    database, so that those that come after it need not find out again.
    """

    settings: Config
    engine: AsyncEngine
    redis: Redis
    revisions: Revisions
    patience: float
    app: Quart | None = None
    database_usable: bool = False


def messages(outcomes: Sequence[Outcome]) -> list[CheckMessage]:
    """Return the findings among these outcomes."""
    return [outcome.check for outcome in outcomes if outcome.check]


def reason(error: BaseException) -> str:
    """Return the first line of the innermost error, which names the cause."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    text = str(error).strip().splitlines()
    # asyncpg's errors arrive as "<class 'asyncpg…'>: the message"
    return text[0].rsplit(">: ", 1)[-1].rstrip(".") if text else type(error).__name__


def why_away(error: BaseException) -> str:
    """Return why a service is away, in words for the public that name no host."""
    if isinstance(error, OutOfMemoryError):
        return "is out of memory"
    if isinstance(error, ReadOnlyError):
        return "is read-only"
    return "does not answer in time" if isinstance(error, TimeoutError) else "does not answer"
