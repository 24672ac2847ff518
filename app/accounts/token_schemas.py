"""Request and response bodies of API tokens."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from app.accounts.schemas import cleaned_name
from app.auth.models import Credential
from app.auth.scopes import Scope
from app.validators import Shape

MAX_NAME = 100  # characters, which is what the column holds
MAX_DAYS = 366
# Not a valid token: its checksum is wrong, so scanners of secrets ignore it.
EXAMPLE = "qb_" + 7 * "Example"
DAYS = (7, 30, 90, 365)  # choices on the page

TokenName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME),
    BeforeValidator(cleaned_name),  # the length is that of the name as it is stored
]


def _days(**extra: Any) -> Any:
    return Field(
        30,
        title="Expires after",
        description="Using it does not prolong it.",
        ge=1,
        le=MAX_DAYS,
        json_schema_extra=extra or None,
    )


class TokenIn(Shape):
    """A token to make: what it is for, what it may do, and for how many days."""

    name: TokenName = Field(
        title="Name",
        description="What uses it, such as “Nightly export”.",
        examples=["Nightly export"],
        json_schema_extra={"autocomplete": "off"},
    )
    scopes: set[Scope] = Field(
        title="Scopes",
        description="What it may do, and never more than you may yourself.",
        examples=[["read"]],
        min_length=1,
        json_schema_extra={"input": "checks"},
    )
    expires_in_days: int = _days()

    @field_validator("scopes")
    @classmethod
    def _can_do_something(cls, scopes: set[Scope]) -> set[Scope]:
        if scopes == {Scope.ADMINISTER}:
            raise PydanticCustomError("scopes", "Choose Read or Write, too.")
        return scopes


class TokenForm(TokenIn):
    """The form of `TokenIn`. Posted again, it makes no second token while the first is valid."""

    expires_in_days: int = _days(input="select", required=True)
    form_id: UUID = Field(json_schema_extra={"input": "hidden"})


class TokenOut(BaseModel):
    """A valid API token, without its secret.

    `last_used_at`, `ip` and `device` are those of its last use, null before the first one.
    """

    id: UUID
    name: str = Field(examples=["Nightly export"])
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    ip: str | None
    device: str | None

    @classmethod
    def of(cls, row: Credential) -> "TokenOut":
        """Build it from a row."""
        return cls(**_values(row))


def _values(row: Credential) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.label or "",
        "scopes": (row.scopes or "").split(),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.used_at,
        "ip": row.address,
        "device": row.device if row.used_at else None,
    }


class TokensOut(BaseModel):
    """The API tokens of the caller, most recently used or made first."""

    items: list[TokenOut]
    next: str | None = None

    @classmethod
    def of(cls, rows: Sequence[Credential]) -> "TokensOut":
        """Build it from rows.

        Parses user agents, which is slow the first time: call it in a thread.
        """
        return cls(items=[TokenOut.of(row) for row in rows])


class NewTokenOut(TokenOut):
    """A token that has just been made, and its secret: it is shown only here."""

    token: str = Field(examples=[EXAMPLE])

    @classmethod
    def made(cls, row: Credential, secret: str) -> "NewTokenOut":
        """Build it from a row and the secret."""
        return cls(**_values(row), token=secret)
