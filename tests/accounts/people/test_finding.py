"""The list of people: found, filtered and sorted, page by page."""

from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.accounts import service
from app.database import db
from tests.accounts.people.administering import administrator, carry_out
from tests.accounts.people.test_one_person import invited
from tests.factories.people import make_person


async def add(email: str, first_name: str, last_name: str) -> None:
    async with db.transaction() as session:
        await service.create_user(
            session,
            email=email,
            first_name=first_name,
            last_name=last_name,
            password_hash="x",
            confirmed=True,
        )


async def some(app: Quart) -> Browser:
    browser, _ = await administrator(app)
    await add("anna@example.com", "Anna", "Zeta")
    await add("Zoe@example.com", "Zoé", "Ångström")
    await add("eve@example.com", "Eve", "de  Souza")
    await add("ann@example.org", "Öznur", "Annan")
    return browser


async def found(browser: Browser, query: str) -> list[str]:
    answer = await browser.get(f"/api/v1/users?{query}")
    page = await answer.get_json()
    assert answer.status_code == 200, page
    return [each["email"] for each in page["items"]]


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("anna@", ["anna@example.com"]),
        ("ANN", ["ann@example.org", "anna@example.com"]),
        ("zoe", ["Zoe@example.com"]),
        ("Zoé", ["Zoe@example.com"]),
        ("angs", ["Zoe@example.com"]),
        ("ÅNGSTRÖM z", ["Zoe@example.com"]),
        ("zoé ångström", ["Zoe@example.com"]),
        ("de souza", ["eve@example.com"]),
        ("DE   SOUZA", ["eve@example.com"]),
        ("oznur", ["ann@example.org"]),
        ("nna", []),
        ("%", []),
        ("_nn", []),
        ("' OR 1=1 --", []),
    ],
)
async def test_people_are_found_by_how_names_and_addresses_begin(
    app: Quart, q: str, expected: list[str]
) -> None:
    browser = await some(app)
    answer = await browser.get("/api/v1/users", query_string={"q": q})
    items = (await answer.get_json())["items"]
    assert [each["email"] for each in items] == expected
    page = await browser.get("/admin/users", query_string={"q": q})
    text = await page.get_data(as_text=True)
    assert [email in text for email in expected] == [True] * len(expected)
    assert ("Nobody was found" in text) is (not expected)


async def test_each_order_is_the_other_one_backwards(app: Quart) -> None:
    browser = await some(app)
    for name in ("created", "name", "email"):
        there = await found(browser, f"sort={name}")
        assert len(there) == 5
        assert there == (await found(browser, f"sort=-{name}"))[::-1]
    assert (await found(browser, "sort=name"))[:2] == ["Zoe@example.com", "ann@example.org"]


async def test_a_role_and_a_state_filter_alone_and_together(app: Quart) -> None:
    browser, me = await administrator(app)
    member, unconfirmed = await make_person(), await make_person(confirmed=False)
    disabled = await make_person()
    await carry_out(service.disable_user, disabled.id)
    await invited()
    expected = {
        "role=Administrator": {me.email},
        "state=active": {me.email, member.email},
        "state=unconfirmed": {unconfirmed.email},
        "state=disabled": {disabled.email},
        "state=invited": {"guest@example.com"},
        "role=User&state=active": {member.email},
        "role=Administrator&state=invited": set(),
        "role=&state=&q=": {me.email, member.email, unconfirmed.email, disabled.email}
        | {"guest@example.com"},
        f"q={member.email}&state=active": {member.email},
        f"q={member.email}&state=disabled": set(),
    }
    for query, emails in expected.items():
        assert set(await found(browser, query)) == emails, query


@pytest.mark.parametrize(
    "filters", ["", "sort=name", "sort=-email&role=User", "q=robin", "state=active"]
)
async def test_pages_follow_each_other_without_a_gap(app: Quart, filters: str) -> None:
    browser, _ = await administrator(app)
    for _ in range(6):
        await make_person()
    everybody = await found(browser, filters)
    assert len(everybody) >= 6
    pages: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await browser.get(f"/api/v1/users?{filters}&limit=2&cursor={cursor}")
        page: dict[str, Any] = await answer.get_json()
        pages += [each["email"] for each in page["items"]]
        cursor = page["next"]
        assert len(pages) < 20
    assert pages == everybody


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("role=No+such+role", 422, "unknown-role"),
        ("state=gone", 422, "invalid"),
        ("sort=password_hash", 422, "invalid"),
        ("limit=101", 422, "invalid"),
        ("offset=5", 422, "invalid"),
        ("cursor=nonsense", 400, "bad-cursor"),
        ("q=" + "x" * 255, 422, "invalid"),
    ],
)
async def test_what_no_list_has_is_refused_by_page_and_by_api(
    app: Quart, query: str, status: int, code: str
) -> None:
    browser, _ = await administrator(app)
    answer = await browser.get(f"/api/v1/users?{query}")
    assert (answer.status_code, (await answer.get_json())["code"]) == (status, code)
    assert (await browser.get(f"/admin/users?{query}")).status_code == status


async def test_no_secret_is_in_what_administrators_see(app: Quart) -> None:
    browser, me = await administrator(app)
    for path in ("/api/v1/users", f"/api/v1/users/{me.id}", f"/api/v1/users/{me.id}/sessions"):
        text = await (await browser.get(path)).get_data(as_text=True)
        for secret in ("argon2", "hash", "digest", "token"):
            assert secret not in text, path
