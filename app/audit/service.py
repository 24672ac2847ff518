"""Searching the trail, downloading it, and deleting what is older than its retention."""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, case, cast, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import acts
from app.audit.schemas import EntryOut, OwnEntries, TrailQuery
from app.auth.identity import Identity
from app.auth.lookup import with_email
from app.auth.models import User
from app.config import settings
from app.database import db, utcnow
from app.errors import DomainError
from app.keyset import ListQuery, Order, Page, Part, Stage, load
from app.trail import PERSON, Entry, delete_old, erase, record
from app.validators import LARGEST_ID

NEWEST = Order((Entry.at, Entry.id), descending=True)
MISSED = timedelta(days=7)  # the job runs each night, if a worker does
CSV_ROWS = 1000  # read at a time
COLUMNS = tuple(EntryOut.model_fields)
# Where a formula begins in a cell; after a semicolon as well, since spreadsheets of many countries
# begin a cell there.
FORMULA = re.compile(r"(^|;)(?=[ \"']*[=+\-@\t\r])")


class UnknownPerson(DomainError):
    """Nobody has this address, or no longer."""

    code = "unknown-person"
    status = 422
    field = "person"
    message = "No account has this address. For a deleted account enter its id."


async def search(session: AsyncSession, wanted: TrailQuery) -> Page[Entry]:
    """Return a page of the trail. Raises `UnknownPerson` or `BadCursor`."""
    user_id = await _find_person(session, wanted.person) if wanted.person else None
    return await load(session, select(Entry), [_stage(wanted, user_id)], wanted)


async def _find_person(session: AsyncSession, text: str) -> int:
    """Return the id of a user, from that id or an address. The account need not exist for an id."""
    if text.strip().isdecimal():
        return min(int(text), LARGEST_ID)  # larger ones do not fit the column
    query = with_email(select(User.id), text.strip())
    if (user_id := (await session.execute(query)).scalar_one_or_none()) is None:
        raise UnknownPerson
    return user_id


def _stage(wanted: TrailQuery, user_id: int | None) -> Stage:
    conditions: list[ColumnElement[bool]] = []
    if wanted.act:
        conditions.append(Entry.act == wanted.act)
    if wanted.since:
        conditions.append(Entry.at >= wanted.since)
    if wanted.before:
        conditions.append(Entry.at < wanted.before)
    parts: list[Part] = [()] if user_id is None else _of_person(user_id)
    return Stage(NEWEST, [(*part, *conditions) for part in parts])


def _of_person(user_id: int) -> list[Part]:
    concerned = (Entry.subject_kind == PERSON, Entry.subject_id == str(user_id))
    return [(Entry.actor_id == user_id,), concerned]


async def own_entries(session: AsyncSession, actor: Identity, wanted: ListQuery) -> Page[Entry]:
    """Return a page of what the actor did, and of what was done to their account."""
    stage = Stage(NEWEST, _of_person(actor.user_id))
    return await load(session, select(Entry), [stage], wanted)


async def export_own(session: AsyncSession, actor: Identity) -> list[dict[str, object]]:
    """Return the newest 1,000 of the actor's own entries, for the data export."""
    newest = await own_entries(session, actor, ListQuery.model_construct(cursor=None, limit=1000))
    mine = await asyncio.to_thread(OwnEntries.of, newest, actor.user_id)
    return [entry.model_dump() for entry in mine.items]


async def begin_download(session: AsyncSession, wanted: TrailQuery) -> TrailQuery:
    """Record a download, since it takes personal data away, and return the query for `as_csv`.

    An address is replaced by its user's id, so that the entry names nobody. Raises `UnknownPerson`.
    """
    if wanted.person:
        found = await _find_person(session, wanted.person)
        wanted = wanted.model_copy(update={"person": str(found)})
    asked = wanted.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_none=True)
    record(session, acts.DOWNLOADED, after=asked)
    return wanted


async def as_csv(wanted: TrailQuery) -> AsyncIterator[str]:
    """Yield the entries as CSV, in pieces of `CSV_ROWS`, so that they need little memory.

    No connection to the database is held while a piece is sent. Cells that a spreadsheet would take
    for a formula begin with an apostrophe (OWASP, "CSV Injection").
    """
    yield _lines([COLUMNS])
    asked = wanted.model_copy(update={"limit": CSV_ROWS, "cursor": None})
    while True:
        async with db.session() as session:
            page = await search(session, asked)
        rows = [EntryOut.of(entry).model_dump(mode="json") for entry in page.items]
        yield _lines([[_cell(row[name]) for name in COLUMNS] for row in rows])
        if page.next is None:
            return
        asked = asked.model_copy(update={"cursor": page.next})


def _cell(value: object) -> str:
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False) if value else ""
    text = "" if value is None else str(value)
    return FORMULA.sub(r"\1'", text)


def _lines(rows: list[list[str]] | list[tuple[str, ...]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


async def erase_missed(session: AsyncSession) -> None:
    """Empty what names people whose accounts were deleted while they acted.

    The entry of such an act may be committed once theirs have been erased.
    """
    concerned = case((Entry.subject_kind == PERSON, cast(Entry.subject_id, Integer)))
    kinds: tuple[tuple[ColumnElement[Any], ColumnElement[Any]], ...] = (
        (Entry.actor_id.expression, Entry.actor_details.expression),
        (concerned, Entry.subject_details.expression),
    )
    for person, details in kinds:
        is_gone = ~select(User.id).where(User.id == person).exists()
        named = (Entry.at > utcnow() - MISSED, person.is_not(None), details.is_not(None), is_gone)
        for user_id in (await session.execute(select(person).where(*named).distinct())).scalars():
            await erase(session, user_id)


async def end_retention() -> None:
    """Delete what is older than TRAIL_RETENTION, in small transactions."""
    async with db.transaction() as session:
        await erase_missed(session)
    deleted = 1
    while deleted:
        async with db.transaction() as session:
            deleted = await delete_old(session, settings.TRAIL_RETENTION)
