"""Daily statistics: numbers that scheduled jobs count, so that a page reads them in one query."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from app.database import Base, insert_into, utcnow

DAYS = 30  # that are shown


class DailyFigure(Base):
    """A number of something on one day, in UTC."""

    __tablename__ = "daily_figures"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    number: Mapped[int]


async def keep(session: AsyncSession, name: str, numbers: Mapping[date, int]) -> None:
    """Store the numbers of some days. Where a larger number is stored already, that one stays.

    Rows that were counted may have been deleted since, which must not lower the number.
    """
    table = DailyFigure.__table__
    for day, number in numbers.items():
        statement = insert_into(session, DailyFigure).values(name=name, day=day, number=number)
        larger = case(
            (statement.excluded.number > table.c.number, statement.excluded.number),
            else_=table.c.number,
        )
        await session.execute(
            statement.on_conflict_do_update(index_elements=["name", "day"], set_={"number": larger})
        )


async def days_to_count(session: AsyncSession, name: str, since: date) -> list[date]:
    """Return the days of the last 30 to be counted: today, yesterday, and those without a number.

    Days before `since` are left out: some of their rows have been deleted.
    """
    kept = dict(await last_days(session, name))
    today = utcnow().date()
    days = [today - timedelta(days=number) for number in range(DAYS)]
    return [
        day
        for day in days
        if day >= since and (day not in kept or day >= today - timedelta(days=1))
    ]


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return when a day begins and when the next one does, in UTC."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


async def last_days(session: AsyncSession, name: str) -> list[tuple[date, int]]:
    """Return the numbers of the last 30 days, oldest first; days without one are left out."""
    since = utcnow().date() - timedelta(days=DAYS - 1)
    wanted = (DailyFigure.name == name, DailyFigure.day >= since)
    query = select(DailyFigure.day, DailyFigure.number).where(*wanted).order_by(DailyFigure.day)
    return [(day, number) for day, number in await session.execute(query)]


async def count_days(
    session: AsyncSession,
    name: str,
    at: InstrumentedAttribute[Any],
    *conditions: ColumnElement[bool],
    since: date = date.min,
) -> None:
    """Count the rows of each of the last days, by the time in a column, and keep the numbers.

    An index over that column makes it cheap. For `since` see `days_to_count`.
    """
    counted = {}
    for day in await days_to_count(session, name, since):
        start, end = bounds(day)
        of_day = select(func.count()).where(*conditions, at >= start, at < end)
        counted[day] = (await session.execute(of_day)).scalar_one()
    await keep(session, name, counted)
