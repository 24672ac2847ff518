"""Pages: reading, saving with a history, restoring and deleting them."""

from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from app.auth.acting import lock_actor
from app.auth.identity import Identity
from app.auth.models import User
from app.content import acts
from app.content.models import EDIT_PAGES, Page, PageVersion
from app.content.schemas import PageIn, PageRow, PageRows, PageTag
from app.errors import DomainError, NotFound
from app.keyset import ListQuery, Order, Stage, load
from app.preconditions import ANY, IfMatch
from app.trail import Act, Subject, record

BY_SLUG = Order((Page.slug, Page.id))
NEWEST = Order((PageVersion.number, PageVersion.id), descending=True)


class Conflict(DomainError):
    """Somebody has saved the page since it was opened."""

    code = "edited-meanwhile"
    message = "Somebody has saved this page since you opened it."


class Deleted(Conflict):
    """Somebody has deleted the page since it was opened."""

    code = "deleted-meanwhile"
    message = "Somebody has deleted this page since you opened it."


class SlugTaken(DomainError):
    """There is a page at this address already."""

    code = "slug-taken"
    field = "slug"
    message = "There is a page at this address already. Choose another one, or edit that page."


async def find_page(
    session: AsyncSession, slug: str, number: int | None = None
) -> PageVersion | None:
    """Return the newest version of a page, or the one of this number, or None."""
    wanted = PageVersion.number == (Page.version if number is None else number)
    query = _versions().where(Page.slug == slug, wanted)
    return (await session.execute(query)).scalar_one_or_none()


async def get_page(session: AsyncSession, slug: str, number: int | None = None) -> PageVersion:
    """Return the newest version of a page, or the one of this number. Raises `NotFound`."""
    if (found := await find_page(session, slug, number)) is None:
        raise NotFound("This page does not exist.")
    return found


def _versions() -> Select[PageVersion]:
    return (
        select(PageVersion)
        .join(Page, PageVersion.page_id == Page.id)
        .options(contains_eager(PageVersion.page))
    )


async def list_pages(session: AsyncSession, wanted: ListQuery) -> PageRows:
    """Return a part of the list of pages, by slug. Raises `BadCursor`."""
    page = await load(session, select(Page), [Stage(BY_SLUG)], wanted)
    keys = [each.id for each in page.items]
    newest = _versions().where(Page.id.in_(keys), PageVersion.number == Page.version)
    rows = await _rows(session, newest.order_by(Page.slug))
    return PageRows(items=rows, next=page.next)


async def list_versions(session: AsyncSession, slug: str, wanted: ListQuery) -> PageRows:
    """Return a part of a page's history, newest first. Raises `NotFound` or `BadCursor`."""
    found = await get_page(session, slug)
    stage = Stage(NEWEST, [(PageVersion.page_id == found.page_id,)])
    page = await load(session, select(PageVersion), [stage], wanted)
    keys = [each.id for each in page.items]
    listed = _versions().where(PageVersion.id.in_(keys)).order_by(PageVersion.number.desc())
    return PageRows(items=await _rows(session, listed), next=page.next)


async def get_row(session: AsyncSession, slug: str) -> PageRow:
    """Return what a list says of the newest version of a page. Raises `NotFound`."""
    newest = _versions().where(Page.slug == slug, PageVersion.number == Page.version)
    if not (rows := await _rows(session, newest)):
        raise NotFound("This page does not exist.")
    return rows[0]


async def _rows(session: AsyncSession, query: Select[PageVersion]) -> list[PageRow]:
    named = query.add_columns(User.first_name, User.last_name)
    named = named.outerjoin(User, User.id == PageVersion.author_id)
    return [
        PageRow(
            slug=found.page.slug,
            version=found.number,
            title=found.title,
            author=f"{first} {last}" if first else None,
            restored_from=found.restored_from,
            saved_at=found.created_at,
        )
        for found, first, last in await session.execute(named)
    ]


async def require_free(session: AsyncSession, slug: str) -> None:
    """Raise `SlugTaken` if there is a page at this address."""
    if await find_page(session, slug):
        raise SlugTaken


async def save_page(
    session: AsyncSession, actor: Identity, slug: str, data: PageIn, expected: IfMatch = ANY
) -> PageVersion:
    """Save a page, new or as a new version. Saving the same title and text again changes nothing.

    Raises `Conflict` if the newest version is not the one that was edited, `Deleted` if there is
    none any more, and `Outdated`.
    """
    await lock_actor(session, actor, EDIT_PAGES)
    page = await _lock(session, slug)
    before = await find_page(session, slug)
    expected.require(lambda: PageTag.of(before) if before else None)
    if before and (before.title, before.text) == (data.title, data.text):
        return before
    if page is None and data.version:
        raise Deleted
    if (page.version if page else 0) != data.version:
        raise Conflict
    if page is None:
        page = Page(slug=slug, version=0)
        session.add(page)
        try:
            await session.flush()
        except IntegrityError:  # somebody was faster
            raise Conflict from None
    saved = _add_version(session, actor, page, PageVersion(title=data.title, text=data.text))
    earlier = {"version": before.number, "title": before.title} if before else {}
    _record(session, acts.SAVED, saved, before=earlier, after={"title": saved.title})
    await session.flush()
    return saved


async def restore_page(
    session: AsyncSession, actor: Identity, slug: str, number: int, expected: IfMatch = ANY
) -> PageVersion:
    """Save an old version as the newest one, unless both are equal.

    Raises `NotFound` or `Outdated`.
    """
    await lock_actor(session, actor, EDIT_PAGES)
    page = await _lock(session, slug)
    old = await get_page(session, slug, number)
    newest = await get_page(session, slug)
    expected.require(lambda: PageTag.of(newest))
    if page is None or (old.title, old.text) == (newest.title, newest.text):
        return newest
    restored = PageVersion(title=old.title, text=old.text, restored_from=number)
    _add_version(session, actor, page, restored)
    before = {"version": newest.number, "title": newest.title}
    after = {"title": restored.title, "restored_from": number}
    _record(session, acts.RESTORED, restored, before=before, after=after)
    await session.flush()
    return restored


async def _lock(session: AsyncSession, slug: str) -> Page | None:
    """Lock a page, so that others who save, restore or delete it wait for this transaction."""
    query = select(Page).where(Page.slug == slug).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


def _add_version(
    session: AsyncSession, actor: Identity, page: Page, added: PageVersion
) -> PageVersion:
    page.version += 1
    added.page, added.page_id, added.number = page, page.id, page.version
    added.author_id = actor.user_id
    session.add(added)
    return added


def _record(
    session: AsyncSession,
    act: Act,
    saved: PageVersion,
    *,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    subject = Subject("page", saved.page.slug, saved.title)
    record(session, act, subject, before=before, after={"version": saved.number, **after})


async def delete_page(
    session: AsyncSession, actor: Identity, slug: str, expected: IfMatch = ANY
) -> None:
    """Delete a page with its history. Raises `NotFound` or `Outdated`."""
    await lock_actor(session, actor, EDIT_PAGES)
    await _lock(session, slug)
    found = await get_page(session, slug)
    expected.require(lambda: PageTag.of(found))
    await session.execute(delete(Page).where(Page.id == found.page_id))
    before = {"version": found.number, "title": found.title}
    record(session, acts.DELETED, Subject("page", slug, found.title), before=before)
