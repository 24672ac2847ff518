"""Numbers of days, and the jobs that count them: accounts that are made, jobs that are done."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from quart import Quart
from sqlalchemy import delete, insert

from app import figures
from app.accounts import figures as people
from app.accounts import roles
from app.auth.models import User
from app.config import Config
from app.database import db
from app.figures import DAYS
from app.jobs import figures as jobs
from app.jobs.models import Job, State

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
TODAY = NOW.date()
DAY = 86_400


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, NOW)


def set_clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    for module in (figures, people, jobs):
        monkeypatch.setattr(module, "utcnow", lambda: now)


def ago(number: int) -> date:
    return TODAY - timedelta(days=number)


async def kept(name: str) -> dict[date, int]:
    async with db.session() as session:
        return dict(await figures.last_days(session, name))


async def keep(name: str, numbers: dict[date, int]) -> None:
    async with db.transaction() as session:
        await figures.keep(session, name, numbers)


async def to_count(name: str, since: date = date.min) -> list[date]:
    async with db.session() as session:
        return await figures.days_to_count(session, name, since)


async def test_the_larger_number_of_a_day_stays(app: Quart) -> None:
    await keep("test", {TODAY: 5, ago(1): 5, ago(2): 0})
    await keep("test", {TODAY: 7, ago(1): 3, ago(2): 0})
    await keep("other", {TODAY: 100})
    await keep("test", {})
    assert await kept("test") == {ago(2): 0, ago(1): 5, TODAY: 7}


async def test_thirty_days_are_shown_oldest_first(app: Quart) -> None:
    await keep("test", {ago(number): number for number in (31, 30, 29, 5, 0)})
    assert list((await kept("test")).items()) == [(ago(29), 29), (ago(5), 5), (TODAY, 0)]


async def test_what_is_not_counted_yet_or_may_still_change_is_counted(app: Quart) -> None:
    assert sorted(await to_count("test")) == [ago(n) for n in reversed(range(DAYS))]
    await keep("test", {ago(number): 1 for number in range(DAYS) if number not in (7, 29)})
    assert await to_count("test") == [TODAY, ago(1), ago(7), ago(29)]
    assert await to_count("test", since=ago(7)) == [TODAY, ago(1), ago(7)]
    assert await to_count("test", since=TODAY) == [TODAY]
    assert len(await to_count("other")) == DAYS


def test_a_day_begins_at_midnight_utc_and_ends_at_the_next() -> None:
    start, end = figures.bounds(date(2026, 2, 28))
    assert start.isoformat() == "2026-02-28T00:00:00+00:00"
    assert end.isoformat() == "2026-03-01T00:00:00+00:00"


def around_midnight(day: date) -> list[datetime]:
    """Return the first and the last moment of a day, and those beside them."""
    start = datetime.combine(day, time(), UTC)
    moment = timedelta(microseconds=1)
    end = start + timedelta(days=1)
    return [start - moment, start, end - moment, end]


async def add_people(times: list[datetime]) -> None:
    async with db.transaction() as session:
        role_id = (await roles.role_of(session, roles.USER)).id
        rows = [
            {
                "email": f"{at.isoformat()}.{number}@example.com".lower(),
                "first_name": "Robin",
                "last_name": "Example",
                "created_at": at,
                "role_id": role_id,
            }
            for number, at in enumerate(times)
        ]
        await (await session.connection()).execute(insert(User), rows)


async def test_accounts_count_on_the_day_in_utc_on_which_they_were_made(app: Quart) -> None:
    await add_people(around_midnight(ago(1)))
    await people.keep_sign_ups()
    counted = await kept(people.SIGN_UPS)
    assert {day: number for day, number in counted.items() if number} == {
        ago(2): 1,
        ago(1): 2,
        TODAY: 1,
    }
    assert len(counted) == DAYS


async def test_counting_again_adds_nothing_and_forgets_nothing(app: Quart) -> None:
    """Accounts that are deleted were made nevertheless."""
    await add_people([NOW, NOW, NOW - timedelta(days=9)])
    for _ in range(2):
        await people.keep_sign_ups()
        assert (await kept(people.SIGN_UPS))[TODAY] == 2
    async with db.transaction() as session:
        await session.execute(delete(User))
    await people.keep_sign_ups()
    counted = await kept(people.SIGN_UPS)
    assert (counted[TODAY], counted[ago(9)]) == (2, 1)
    await add_people([NOW] * 3)
    await people.keep_sign_ups()
    assert (await kept(people.SIGN_UPS))[TODAY] == 3


async def test_the_last_hours_of_a_day_are_counted_on_the_next(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people.keep_sign_ups()
    await add_people([datetime.combine(TODAY, time(23, 59, 59), UTC)])
    set_clock(monkeypatch, NOW + timedelta(days=1))
    await people.keep_sign_ups()
    assert (await kept(people.SIGN_UPS))[TODAY] == 1


async def add_jobs(times: list[datetime], state: State = State.DONE) -> None:
    async with db.transaction() as session:
        session.add_all(
            Job(name="test", args={}, state=state, created_at=at, finished_at=at) for at in times
        )


async def test_jobs_count_on_the_day_in_utc_on_which_they_were_done(
    app: Quart, settings: Config
) -> None:
    settings.JOB_RETENTION = 7 * DAY
    await add_jobs(around_midnight(ago(1)))
    await add_jobs([NOW], State.DEAD)
    for _ in range(2):
        await jobs.keep_finished()
        counted = {day: number for day, number in (await kept(jobs.FINISHED)).items() if number}
        assert counted == {ago(2): 1, ago(1): 2, TODAY: 1}


@pytest.mark.parametrize(
    ("retention", "first"), [(7 * DAY, 6), (DAY, 0), (3600, 0), (60 * DAY, 29)]
)
async def test_days_of_which_jobs_are_deleted_already_are_not_counted(
    app: Quart, settings: Config, retention: int, first: int
) -> None:
    """Of the day in which the retention begins only a part is left."""
    settings.JOB_RETENTION = retention
    await add_jobs([NOW - timedelta(days=number) for number in range(40)])
    await jobs.keep_finished()
    assert await kept(jobs.FINISHED) == {ago(number): 1 for number in range(first + 1)}
