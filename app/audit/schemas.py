"""The query of the trail, and its entries: for administrators, and for the users themselves."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from app.auth.models import Credential
from app.keyset import ListQuery, Page
from app.trail import ACTS, PERSON, Entry


def _in_utc(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "moment", "Enter a date like 2030-01-31, or a time like 2030-01-31T12:00Z."
        ) from None


# A date begins at midnight. Without a time zone it is UTC.
Moment = Annotated[datetime, BeforeValidator(_in_utc)]
MOMENT = "A date or a time, in UTC unless it has an offset."


class TrailQuery(ListQuery):
    """Which entries; the newest come first."""

    person: str | None = Field(
        None,
        max_length=254,
        description="Who acted, or was acted on: the id of a user, or their email address.",
    )
    act: str | None = Field(None, max_length=64, description="The name of an act.")
    since: Moment | None = Field(None, description=MOMENT)
    before: Moment | None = Field(None, description=MOMENT)


class EntryOut(BaseModel):
    """An entry. Once a person's account is deleted, only their id is left of them."""

    id: int
    at: datetime
    act: str = Field(examples=["user.renamed"])
    words: str = Field(examples=["Renamed"])
    actor_kind: str = Field(examples=["user"])
    actor_id: int | None
    actor: dict[str, Any] | None
    via: str | None
    request_id: str | None
    subject_kind: str | None
    subject_id: str | None
    subject: dict[str, Any] | None
    changes: dict[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> "EntryOut":
        """Build it from a row."""
        personal = entry.subject_details or {}
        subject = {
            "name": personal.get("name") or entry.subject_name,
            "email": personal.get("email"),
        }
        return cls(
            id=entry.id,
            at=entry.at,
            act=entry.act,
            words=ACTS.get(entry.act, entry.act),
            actor_kind=entry.actor_kind,
            actor_id=entry.actor_id,
            actor=entry.actor_details,
            via=entry.via,
            request_id=entry.request_id,
            subject_kind=entry.subject_kind,
            subject_id=entry.subject_id,
            subject={key: value for key, value in subject.items() if value} or None,
            changes=entry.changes | personal.get("changes", {}),
        )


class EntriesOut(BaseModel):
    """A page of the trail."""

    items: list[EntryOut]
    next: str | None


# How people see who acted on their account: by kind, not by name.
OTHERS = {
    "user": "an administrator",
    "token": "an administrator",
    "visitor": "a visitor",
    "command": "an operator of this site",
}


class OwnEntry(BaseModel):
    """An entry about one's own account, or of one's own acts. Nobody else is named.

    `ip` and `device` are of one's own acts, `changes` are those of one's own account.
    """

    at: datetime
    act: str = Field(examples=["user.renamed"])
    words: str = Field(examples=["Renamed"])
    by: str = Field(examples=["you"])
    on: str | None
    ip: str | None
    device: str | None
    changes: dict[str, Any]

    @classmethod
    def of(cls, entry: Entry, user_id: int) -> "OwnEntry":
        """Build it from a row about this user, or by them.

        Parses user agents, which is slow the first time: call it in a thread.
        """
        is_mine = entry.actor_id == user_id
        is_about_me = (entry.subject_kind, entry.subject_id) == (PERSON, str(user_id))
        details = (entry.actor_details or {}) if is_mine else {}
        agent = details.get("agent")
        return cls(
            at=entry.at,
            act=entry.act,
            words=ACTS.get(entry.act, entry.act),
            by="you" if is_mine else OTHERS.get(entry.actor_kind, "the application"),
            on="your account" if is_about_me else _subject(entry),
            ip=details.get("ip"),
            device=Credential(user_agent=agent).device if agent else None,
            changes=EntryOut.of(entry).changes if is_about_me else {},
        )


def _subject(entry: Entry) -> str | None:
    if entry.subject_kind == PERSON:
        return "another account"
    return (
        f"{entry.subject_kind} {entry.subject_name or ''}".strip() if entry.subject_kind else None
    )


class OwnEntries(BaseModel):
    """A page of the entries about one's own account."""

    items: list[OwnEntry]
    next: str | None

    @classmethod
    def of(cls, page: Page[Entry], user_id: int) -> "OwnEntries":
        """Build it from a page of rows. Call it in a thread: see `OwnEntry.of`."""
        return cls(items=[OwnEntry.of(entry, user_id) for entry in page.items], next=page.next)
