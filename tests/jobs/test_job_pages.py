"""Administrators see the queue, by page and by API, and retry or discard jobs."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import insert, select

from app.accounts import roles
from app.database import db, utcnow
from app.jobs.models import Job, State
from app.trail import Entry
from tests.factories.people import log_in, make_person
from tests.jobs.conftest import Work
from tests.jobs.declared import RAN

BOTH = pytest.mark.parametrize("by_page", [True, False], ids=["page", "api"])
ENDED = (State.DONE, State.DEAD, State.DISCARDED)


@pytest.fixture
async def browser(app: Quart) -> Browser:
    """Return the browser of an administrator."""
    browser = app.test_client()
    await log_in(browser, await make_person(role=roles.ADMINISTRATOR))
    return browser


async def put(state: State, number: int = 1, **values: Any) -> list[UUID]:
    """Insert jobs in a state, each a minute after the one before."""
    now, rows = utcnow(), []
    for each in range(number):
        at = now - timedelta(hours=1) + timedelta(minutes=each)
        rows.append(
            {
                "id": uuid4(),
                "name": "tests.note",
                "args": {"value": each},
                "state": state,
                "attempt": 0 if state is State.WAITING else 3,
                "created_at": at,
                "due_at": at if state is State.WAITING else None,
                "leased_until": now + timedelta(hours=1) if state is State.RUNNING else None,
                "finished_at": at if state in ENDED else None,
                **values,
            }
        )
    async with db.transaction() as session:
        await session.execute(insert(Job), rows)
    return [row["id"] for row in rows]


async def state_of(job_id: UUID) -> str:
    async with db.session() as session:
        query = select(Job.state).where(Job.id == job_id)
        return (await session.execute(query)).scalar_one()


async def listed(browser: Browser, query: str) -> tuple[list[UUID], str | None]:
    answer = await browser.get(f"/api/v1/jobs?{query}")
    page = await answer.get_json()
    assert answer.status_code == 200, page
    return [UUID(each["id"]) for each in page["items"]], page["next"]


@pytest.mark.parametrize("state", list(State))
async def test_a_list_has_the_jobs_of_one_state(browser: Browser, state: State) -> None:
    ids = {each: (await put(each))[0] for each in State}
    assert (await listed(browser, f"state={state}"))[0] == [ids[state]]
    page = await (await browser.get(f"/admin/jobs?state={state}")).get_data(as_text=True)
    for each, job_id in ids.items():
        assert (f"/admin/jobs/{job_id}" in page) is (each is state)


async def test_those_that_wait_are_listed_unless_another_state_is_asked_for(
    browser: Browser,
) -> None:
    ids = await put(State.WAITING, 2)
    await put(State.DEAD)
    assert (await listed(browser, ""))[0] == ids


@pytest.mark.parametrize("state", list(State))
async def test_pages_follow_each_other_without_a_gap(browser: Browser, state: State) -> None:
    ids = await put(state, 7)
    expected = ids if state not in ENDED else ids[::-1]
    found: list[UUID] = []
    query: str | None = f"state={state}&limit=3"
    while query:
        items, cursor = await listed(browser, query)
        found += items
        query = f"state={state}&limit=3&cursor={cursor}" if cursor else None
    assert found == expected


async def test_a_job_that_ends_meanwhile_moves_no_other(browser: Browser) -> None:
    ids = await put(State.WAITING, 4)
    first, cursor = await listed(browser, "limit=2")
    await browser.post(f"/api/v1/jobs/{ids[0]}/discard")
    second, _ = await listed(browser, f"limit=2&cursor={cursor}")
    assert first + second == ids


@pytest.mark.parametrize("query", ["state=gone", "limit=0", "limit=101", "order=name"])
async def test_what_no_list_has_is_refused(browser: Browser, query: str) -> None:
    assert (await browser.get(f"/api/v1/jobs?{query}")).status_code == 422
    assert (await browser.get(f"/admin/jobs?{query}")).status_code == 422


async def test_a_cursor_of_another_list_is_refused_in_words(browser: Browser) -> None:
    await put(State.DEAD, 3)
    _, cursor = await listed(browser, "state=dead&limit=1")
    for wrong in ("nonsense", f"{cursor}x"):
        answer = await browser.get(f"/api/v1/jobs?state=dead&cursor={wrong}")
        assert (answer.status_code, (await answer.get_json())["code"]) == (400, "bad-cursor")
    assert (await browser.get("/admin/jobs?cursor=nonsense")).status_code == 400


async def test_everything_about_one_job_is_shown(browser: Browser) -> None:
    values: dict[str, Any] = {
        "args": {"user_id": 7},
        "error": "ValueError: no luck",
        "worker": "worker-1",
        "progress": {"done": 3},
    }
    [job_id] = await put(State.DEAD, **values)
    found = await (await browser.get(f"/api/v1/jobs/{job_id}")).get_json()
    assert values.items() <= found.items()
    assert (found["state"], found["attempt"], found["name"]) == ("dead", 3, "tests.note")
    page = await (await browser.get(f"/admin/jobs/{job_id}")).get_data(as_text=True)
    for words in ("user_id: 7", "ValueError: no luck", "worker-1", "done: 3", "Dead"):
        assert words in page


async def test_a_kind_that_this_release_has_not_is_shown_as_well(browser: Browser) -> None:
    [job_id] = await put(State.WAITING, name="gone.kind")
    found = await (await browser.get(f"/api/v1/jobs/{job_id}")).get_json()
    assert found["max_attempts"] is None
    page = await (await browser.get(f"/admin/jobs/{job_id}")).get_data(as_text=True)
    assert "this release has no such job" in page
    assert "gone.kind" in await (await browser.get("/admin/jobs")).get_data(as_text=True)


async def act(browser: Browser, what: str, job_id: object, *, by_page: bool) -> tuple[int, str]:
    """Retry or discard a job; returns the status and what is said."""
    if not by_page:
        answer = await browser.post(f"/api/v1/jobs/{job_id}/{what}")
        return answer.status_code, await answer.get_data(as_text=True)
    answer = await browser.post(f"/admin/jobs/{job_id}/{what}")
    if answer.status_code != 303:
        return answer.status_code, await answer.get_data(as_text=True)
    page = await browser.get(answer.headers["Location"])
    return answer.status_code, await page.get_data(as_text=True)


@BOTH
@pytest.mark.parametrize("state", [State.WAITING, State.DEAD, State.DISCARDED])
async def test_a_job_that_is_retried_runs(
    browser: Browser, work: Work, by_page: bool, state: State
) -> None:
    [job_id] = await put(state)
    status, text = await act(browser, "retry", job_id, by_page=by_page)
    assert status == (303 if by_page else 204)
    if by_page:
        assert "The job is due now" in text
    await work()
    assert RAN == [0]
    assert await state_of(job_id) == "done"


@BOTH
@pytest.mark.parametrize("state", [State.WAITING, State.DEAD])
async def test_a_job_that_is_discarded_never_runs(
    browser: Browser, work: Work, by_page: bool, state: State
) -> None:
    [job_id] = await put(state)
    status, _ = await act(browser, "discard", job_id, by_page=by_page)
    assert status == (303 if by_page else 204)
    await work()
    assert RAN == []
    assert await state_of(job_id) == "discarded"


REFUSED = {"retry": (State.RUNNING, State.DONE), "discard": (State.RUNNING, *ENDED[::2])}


@BOTH
@pytest.mark.parametrize("what", ["retry", "discard"])
async def test_what_a_state_does_not_allow_is_refused_in_words(
    browser: Browser, by_page: bool, what: str
) -> None:
    for state in REFUSED[what]:
        [job_id] = await put(state)
        status, text = await act(browser, what, job_id, by_page=by_page)
        assert status == (303 if by_page else 409)
        assert "nothing was done" in text
        assert await state_of(job_id) == state


@BOTH
@pytest.mark.parametrize("what", ["retry", "discard"])
async def test_there_is_no_such_job(browser: Browser, by_page: bool, what: str) -> None:
    status, text = await act(browser, what, uuid4(), by_page=by_page)
    assert status == 404
    assert "There is no such job" in text
    assert (await act(browser, what, 7, by_page=by_page))[0] == 404


async def test_what_is_done_to_a_job_is_in_the_trail(browser: Browser) -> None:
    [job_id] = await put(State.DEAD)
    await act(browser, "retry", job_id, by_page=True)
    await act(browser, "discard", job_id, by_page=False)
    async with db.session() as session:
        query = select(Entry).where(Entry.subject_id == str(job_id)).order_by(Entry.id)
        entries = (await session.execute(query)).scalars().all()
    assert [entry.act for entry in entries] == ["job.retried", "job.discarded"]
    assert all(entry.actor_id for entry in entries)


async def test_arguments_and_errors_are_text_on_every_page(browser: Browser) -> None:
    wrong = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    [job_id] = await put(
        State.DEAD, name=wrong, args={wrong: [wrong]}, error=wrong, progress={wrong: wrong}
    )
    for path in (f"/admin/jobs/{job_id}", "/admin/jobs?state=dead"):
        page = await (await browser.get(path)).get_data(as_text=True)
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("path", ["/admin/jobs", "/api/v1/jobs"])
async def test_nobody_else_sees_jobs(app: Quart, path: str) -> None:
    [job_id] = await put(State.DEAD)
    member = app.test_client()
    await log_in(member, await make_person())
    for each in (path, f"{path}/{job_id}"):
        assert (await member.get(each)).status_code == 403
    for what in ("retry", "discard"):
        assert (await member.post(f"{path}/{job_id}/{what}")).status_code == 403
    assert await state_of(job_id) == "dead"
