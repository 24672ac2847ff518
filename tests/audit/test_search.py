"""The trail is searched by person, act and time."""

from datetime import timedelta
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from tests.audit.entries import NOON, add, administrator, found
from tests.factories.people import make_person


async def text_of(browser: Browser, **query: Any) -> tuple[int, str]:
    answer = await browser.get("/admin/audit", query_string=query)
    return answer.status_code, await answer.get_data(as_text=True)


async def test_a_person_is_found_by_number_and_by_address(app: Quart) -> None:
    browser, _ = await administrator(app)
    robin, kim = await make_person(email="robin@example.com"), await make_person()
    await add(actor_id=robin.id, act="page.saved")
    await add(actor_id=kim.id, subject_kind="user", subject_id=str(robin.id))
    await add(actor_id=kim.id)
    await add(subject_kind="page", subject_id=str(robin.id))  # no person
    for asked in (robin.id, "robin@example.com", " Robin@Example.com "):
        acts = [each["act"] for each in await found(browser, person=asked)]
        assert sorted(acts) == ["page.saved", "user.renamed"], asked


async def test_an_address_of_nobody_gets_words(app: Quart) -> None:
    browser, _ = await administrator(app)
    answer = await browser.get("/api/v1/trail", query_string={"person": "nobody@example.com"})
    assert answer.status_code == 422
    assert (await answer.get_json())["code"] == "unknown-person"
    status, page = await text_of(browser, person="nobody@example.com", act="user.renamed")
    assert status == 422
    assert "No account has this address." in page
    assert 'value="nobody@example.com"' in page
    assert '<option value="user.renamed" selected>' in page
    assert "Download" not in page


async def test_a_deleted_person_is_found_by_number(app: Quart) -> None:
    browser, _ = await administrator(app)
    await add(actor_id=4711)
    [entry] = await found(browser, person=4711)
    assert (entry["actor_id"], entry["actor"]) == (4711, None)
    assert f"User {4711}" in (await text_of(browser, person=4711))[1]


@pytest.mark.parametrize("number", ["99999999999999999999", "0", "2147483648"])
async def test_a_number_of_nobody_finds_nothing(app: Quart, number: str) -> None:
    browser, _ = await administrator(app)
    await add(actor_id=1)
    assert await found(browser, person=number) == []


async def test_acts_and_times_are_searched_together_with_a_person(app: Quart) -> None:
    browser, _ = await administrator(app)
    for act in ("page.saved", "page.deleted"):
        for day in range(3):
            await add(actor_id=7, act=act, at=NOON + timedelta(days=day))
    query = {"person": 7, "act": "page.saved", "since": "2030-01-16", "before": "2030-01-17"}
    [entry] = await found(browser, **query)
    assert entry["at"].startswith("2030-01-16T12:00")
    assert entry["act"] == "page.saved"


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2030-01-15", 2),  # from midnight
        ("2030-01-16", 0),
        ("2030-01-15T12:00:00", 2),  # UTC, since it does not say
        ("2030-01-15T12:00:30Z", 1),
        ("2030-01-15T14:00:30+02:00", 1),
        ("2030-01-15T12:00:30+02:00", 2),
    ],
)
async def test_a_time_is_a_date_or_a_moment(app: Quart, since: str, expected: int) -> None:
    browser, _ = await administrator(app)
    await add(2)
    assert len(await found(browser, since=since)) == expected
    assert len(await found(browser, before=since)) == 2 - expected


@pytest.mark.parametrize(
    "wrong", ["tomorrow", "2030-13-01", "2030-02-30", "1", "0001-01-01T00:00+05:00", "2030-01-01x"]
)
async def test_what_is_no_time_gets_words(app: Quart, wrong: str) -> None:
    browser, _ = await administrator(app)
    status, page = await text_of(browser, since=wrong, person="7")
    assert status == 422
    assert "Enter a date like 2030-01-31" in page
    assert 'value="7"' in page
    for path in ("/api/v1/trail", "/admin/audit/trail.csv"):
        answer = await browser.get(path, query_string={"before": wrong})
        assert answer.status_code in (400, 422), path
        assert "Enter a date like" in await answer.get_data(as_text=True), path


async def test_what_was_asked_stays_in_the_form(app: Quart) -> None:
    browser, robin = await administrator(app)
    query = {
        "person": robin.email,
        "act": "user.renamed",
        "since": "2030-01-01",
        "before": "2030-02-01",
    }
    status, page = await text_of(browser, **query)
    assert status == 200
    for value in (robin.email, "2030-01-01", "2030-02-01"):
        assert f'value="{value}"' in page
    assert '<option value="user.renamed" selected>' in page
    assert "Nothing that was done fits this search." in page


async def test_what_is_left_empty_is_not_asked(app: Quart) -> None:
    browser, _ = await administrator(app)
    await add()
    status, page = await text_of(browser, person="", act="", since="", before="")
    assert status == 200
    assert "Renamed" in page


async def test_every_entry_is_on_one_page_newest_first(app: Quart) -> None:
    browser, _ = await administrator(app)
    await add(7)
    await add(5, act="page.saved")  # at the same times
    seen, cursor = [], None
    while True:
        query = {"limit": 5} | ({"cursor": cursor} if cursor else {})
        page = await (await browser.get("/api/v1/trail", query_string=query)).get_json()
        seen += [(each["at"], each["id"]) for each in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert len(seen) == 12
    assert seen == sorted(set(seen), reverse=True)


async def test_a_page_leads_to_the_next_with_the_search(app: Quart) -> None:
    browser, _ = await administrator(app)
    await add(60, actor_id=7)
    await add(1, actor_id=8)
    _, page = await text_of(browser, person=7)
    href = page.partition('<a class="button button-quiet" href="')[2].partition('"')[0]
    answer = await browser.get(href.replace("&amp;", "&"))
    second = await answer.get_data(as_text=True)
    assert second.count('<th scope="row">') == 10
    assert 'value="7"' in second


async def test_an_entry_says_who_did_what_to_whom(app: Quart) -> None:
    browser, _ = await administrator(app)
    people: dict[str, Any] = {
        "actor_id": 7,
        "actor_details": {"name": "Robin <b>", "ip": "203.0.113.7"},
        "subject_kind": "user",
        "subject_id": "8",
        "subject_details": {"name": "Kim Guest", "changes": {"first_name": ["Tim", "Kim"]}},
    }
    await add(**people)
    await add(actor_kind="token", actor_id=9, act="page.saved", changes={"version": [1, 2]})
    await add(actor_kind="command", via="create-admin", act="user.created")
    await add(actor_kind="visitor", act="of.a.removed.feature")
    _, page = await text_of(browser)
    words = " ".join(page.split())
    for expected in (
        "Robin &lt;b&gt;",
        "203.0.113.7",
        "Kim Guest",
        "First name: Tim → Kim",
        "User 9</a> by a token",
        "Version: 1 → 2",
        "Command create-admin",
        "A visitor",
        "of.a.removed.feature",
    ):
        assert expected in words, expected


async def test_the_page_of_a_person_leads_to_their_entries(app: Quart) -> None:
    browser, robin = await administrator(app)
    page = await (await browser.get(f"/admin/user/{robin.id}")).get_data(as_text=True)
    assert f'href="/admin/audit?person={robin.id}"' in page


async def test_the_dashboard_shows_the_newest(app: Quart) -> None:
    browser, _ = await administrator(app)
    page = await (await browser.get("/admin")).get_data(as_text=True)
    assert "None yet." in page
    await add(1, act="user.created")
    await add(5, at=NOON + timedelta(days=1), subject_kind="page", subject_name="Rules")
    page = await (await browser.get("/admin")).get_data(as_text=True)
    assert page.count("Renamed: Rules") == 5
    assert "Account created" not in page
