"""The trail, an audit log: who changed what, when and from where.

An entry is written in the transaction of what it is about. Entries are append-only until their
retention ends, with one exception: personal data are in columns of their own, which are emptied
when that person's account is deleted.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy import JSON, BigInteger, Index, Integer, String, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, utcnow
from app.logs import request_id

PERSON = "user"  # the kind of a subject that is a person
# Changed values of a person that are not personal data. All others, those that a product adds
# included, are erased with the account.
IMPERSONAL = frozenset({"id", "purpose", "role"})
# Names of values that are refused, also as a part of a longer name: the values are secrets.
SECRET = ("password", "secret", "token", "digest", "hash")
BATCH = 1000


class Entry(Base):
    """An entry of the trail: one act on one subject.

    `changes` maps the name of each changed value to the values before and after.
    """

    __tablename__ = "trail"
    __table_args__ = (
        # One for each filter of the search, newest first.
        Index("ix_trail_at", "at", "id"),
        Index("ix_trail_act", "act", "at", "id"),
        Index("ix_trail_actor", "actor_id", "at", "id"),
        Index("ix_trail_subject", "subject_kind", "subject_id", "at", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    act: Mapped[str] = mapped_column(String(64))
    # Who: the id of a user is no foreign key, since it outlives the account.
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[int | None]
    via: Mapped[str | None] = mapped_column(String(100))  # the command, the job or the credential
    request_id: Mapped[str | None] = mapped_column(String(64))
    # On what.
    subject_kind: Mapped[str | None] = mapped_column(String(32))
    subject_id: Mapped[str | None] = mapped_column(String(64))
    subject_name: Mapped[str | None] = mapped_column(String(200))  # of what is no person
    changes: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Personal data, which `erase` empties: name, email, ip and user agent of the actor; name, email
    # and changed values of the subject.
    actor_details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    subject_details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    def __repr__(self) -> str:
        return f"<Entry {self.id} {self.act}>"


ACTS: dict[str, str] = {}  # name → words, of every act that a loaded feature declares


class Act:
    """A kind of entry: its name, as it is stored, and the words by which people find it.

    Declared once, as a constant in `acts.py` of a feature. Raises `ValueError` for a name that is
    taken.
    """

    def __init__(self, name: str, words: str) -> None:
        if ACTS.setdefault(name, words) != words:
            raise ValueError(f"Two acts are named {name!r}.")
        self.name, self.words = name, words


@dataclass(frozen=True, slots=True)
class Subject:
    """What an act is about, or who acts. `name` and `email` are for people to read."""

    kind: str
    id: int | str
    name: str = ""
    email: str = ""

    @property
    def details(self) -> dict[str, str]:
        """What is personal about it, if it is a person."""
        return {"name": self.name, "email": self.email}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who acts, and from where.

    `kind` is "user", "token", "visitor" (nobody who is known), "command" or "job"; `via` names the
    command, the job or the credential.
    """

    kind: str
    via: str = ""
    user_id: int = 0
    name: str = ""
    email: str = ""
    ip: str = ""
    agent: str = ""

    @property
    def details(self) -> dict[str, str]:
        """What is personal about it."""
        named = {"name": self.name, "email": self.email, "ip": self.ip, "agent": self.agent}
        return {key: value for key, value in named.items() if value}


def _command() -> Origin:
    context, words = click.get_current_context(silent=True), list[str]()
    while context and context.parent:  # without the outermost: it is the program itself
        words.insert(0, context.info_name or "")
        context = context.parent
    return Origin("command", via=" ".join(words) or "script")


# Returns who acts. Requests and jobs set a function of their own; without one it is a command.
origin: ContextVar[Callable[[], Origin]] = ContextVar("origin", default=_command)


def record(
    session: AsyncSession,
    act: Act,
    subject: Subject | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    actor: Subject | None = None,
) -> None:
    """Add an entry, in the transaction of the act: both are committed, or neither is.

    `before` and `after` map names to JSON values; those that are equal in both are left out.
    `actor` is needed only where the request does not know the user yet, such as logging in. Raises
    `ValueError` if a value is named like a secret.
    """
    came = _origin(actor)
    values = _changes(before or {}, after or {})
    person = subject if subject and subject.kind == PERSON else None
    erasable = [name for name in values if person and name not in IMPERSONAL]
    personal = {name: values.pop(name) for name in erasable}
    session.add(
        Entry(
            act=act.name,
            actor_kind=came.kind,
            actor_id=came.user_id or None,
            via=came.via[:100] or None,
            request_id=_request_id(),
            subject_kind=subject.kind if subject else None,
            subject_id=str(subject.id)[:64] if subject else None,
            subject_name=subject.name[:200] if subject and not person else None,
            changes=values,
            actor_details=came.details or None,
            subject_details=person.details | {"changes": personal} if person else None,
        )
    )


def _origin(actor: Subject | None) -> Origin:
    """Return who acts: the actor, if one is given, from where the request comes."""
    came = origin.get()()
    if actor is None or actor.id == came.user_id:
        return came
    # Another user may still be logged in in this browser: their credential and name stay out of it.
    return replace(
        came, kind="user", via="", user_id=int(actor.id), name=actor.name, email=actor.email
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = [*dict.fromkeys([*before, *after])]
    if wrong := [name for name in names if any(word in name.lower() for word in SECRET)]:
        raise ValueError(f"{wrong[0]} is named like a secret, which the trail must not hold.")
    changed = {name: [before.get(name), after.get(name)] for name in names}
    return {name: values for name, values in changed.items() if values[0] != values[1]}


def _request_id() -> str | None:
    found = request_id.get()
    return None if found == "-" else found[:64]


async def erase(session: AsyncSession, user_id: int) -> None:
    """Erase the personal data of a user from the trail, in the transaction that deletes them.

    The entries stay, with the user's id. Visitors who acted on the account, such as by registering
    it, may have been the same person: their data are erased as well.
    """
    acted = Entry.actor_id == user_id
    await session.execute(update(Entry).where(acted).values(actor_details=None))
    concerned = (Entry.subject_kind == PERSON, Entry.subject_id == str(user_id))
    await session.execute(update(Entry).where(*concerned).values(subject_details=None))
    by_visitors = (*concerned, Entry.actor_id.is_(None))
    await session.execute(update(Entry).where(*by_visitors).values(actor_details=None))


async def delete_old(session: AsyncSession, seconds: float) -> int:
    """Delete a batch of the entries that are older than `seconds`, and return how many."""
    old = select(Entry.id).where(Entry.at < utcnow() - timedelta(seconds=seconds))
    rows = await session.execute(
        delete(Entry).where(Entry.id.in_(old.order_by(Entry.at).limit(BATCH))).returning(Entry.id)
    )
    return len(rows.all())
