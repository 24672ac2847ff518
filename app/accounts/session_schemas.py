"""Sessions as the API lists them: a person's own, and somebody's with their tokens."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from app.auth.identity import Identity
from app.auth.models import Credential, Purpose
from app.auth.scopes import Scope


class SessionRow(BaseModel):
    """A valid session, or an API token where administrators look; `current` marks the caller's.

    `last_used_at`, `address` and `device` of a token are those of its last use. `name` and `scopes`
    are a token's alone.
    """

    id: UUID
    kind: Literal["session", "token"]
    name: str | None
    scopes: list[Scope]
    device: str = Field(examples=["Firefox on Linux"])
    address: str | None
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime
    current: bool = False

    @classmethod
    def of(cls, row: Credential, actor: Identity) -> "SessionRow":
        """Build it from a row."""
        return cls(
            id=row.id,
            kind="token" if row.purpose == Purpose.TOKEN else "session",
            name=row.label,
            scopes=(row.scopes or "").split(),
            device=row.device,
            address=row.address,
            created_at=row.created_at,
            last_used_at=row.used_at,
            expires_at=row.expires_at,
            current=row.id == actor.credential_id,
        )


class SessionRows(BaseModel):
    """Sessions, and tokens where administrators look, most recently used first."""

    items: list[SessionRow]
    next: str | None = None

    @classmethod
    def of(cls, rows: Sequence[Credential], actor: Identity) -> "SessionRows":
        """Build it from the rows of a user's sessions.

        Parses user agents, which is slow the first time: call it in a thread.
        """
        return cls(items=[SessionRow.of(row, actor) for row in rows])
