"""Acts on many accounts: what is shown first is what is done then."""

from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import insert, select

from app.accounts import people, roles, selections
from app.accounts.people_schemas import MOST_CHOSEN, Selection
from app.auth.identity import Identity
from app.auth.models import User
from app.database import db
from tests.accounts.people.administering import (
    actor,
    administrator,
    found,
    post,
    role_id,
    there,
    told,
    valid,
)
from tests.factories.people import log_in, make_person

PAGE = "/admin/users/selection"
ACTS = ["disable", "enable", "role", "end-sessions", "delete"]


async def many(number: int) -> list[int]:
    """Insert accounts, past everything that takes time."""
    user = await role_id(roles.USER)
    rows = [
        {
            "email": f"many{each}@example.com",
            "first_name": "Robin",
            "last_name": f"Example {each}",
            "confirmed": True,
            "password_hash": "x",
            "role_id": user,
        }
        for each in range(number)
    ]
    async with db.transaction() as session:
        await session.execute(insert(User), rows)
        query = select(User.id).where(User.email.like("many%")).order_by(User.id)
        return list((await session.execute(query)).scalars())


async def scene(app: Quart) -> tuple[Browser, list[int]]:
    """Return a browser, and ids: its administrator's, a member's, one disabled, and nobody's."""
    browser, me = await administrator(app)
    member, disabled = await make_person(), await make_person()
    await browser.post(f"/api/v1/users/{disabled.id}/disable")
    await told(browser)
    return browser, [me.id, member.id, disabled.id, 999_999]


EXPECTED = {
    "disable": [False, True, False, False],
    "enable": [False, False, True, False],
    "role": [False, True, True, False],
    "end-sessions": [False, True, True, False],
    "delete": [False, True, True, False],
}


@pytest.mark.parametrize("act", ACTS)
async def test_what_is_shown_first_is_what_is_done(app: Quart, act: str) -> None:
    browser, ids = await scene(app)
    body: dict[str, Any] = {"ids": ids, "act": act}
    if act == "role":
        body["role"] = "Administrator"
    before = [await found(each) for each in ids]
    shown = await (
        await browser.post("/api/v1/users/acts", json=body | {"dry_run": True})
    ).get_json()
    after = [await found(each) for each in ids]
    assert [repr(each and each.state) for each in before] == [
        repr(each and each.state) for each in after
    ]
    done = await (await browser.post("/api/v1/users/acts", json=body)).get_json()
    assert done == shown
    lines = {line["id"]: line for line in done["lines"]}
    assert [lines[each]["done"] for each in ids] == EXPECTED[act]
    assert all(line["done"] or line["reason"] for line in done["lines"])
    assert lines[999_999]["reason"] == "There is no such account."
    users = [await found(each) for each in ids]
    if act == "delete":
        assert [user is None for user in users] == [False, True, True, True]
    if act == "role":
        assert [user and user.role.name for user in users] == ["Administrator"] * 3 + [None]


@pytest.mark.parametrize("act", ACTS)
async def test_the_page_asks_first_and_does_it_then(app: Quart, act: str) -> None:
    browser, ids = await scene(app)
    form: dict[str, Any] = {"ids": [str(each) for each in ids], "act": act}
    form["role"] = "Administrator"  # the page always sends one
    asked = await post(browser, PAGE, form)
    text = await asked.get_data(as_text=True)
    assert asked.status_code == 200
    doing = EXPECTED[act].count(True)
    assert f"This will be done: {doing}" in text
    assert f"Skipped: {4 - doing}" in text
    assert [each["to"] for each in await sent(browser)] == []
    confirmed = await post(browser, PAGE, form | {"confirmed": "on"})
    text = await confirmed.get_data(as_text=True)
    assert f"Done: {doing}" in text
    assert f"Skipped: {4 - doing}" in text
    mails = 0 if act == "end-sessions" else doing
    assert len(await sent(browser)) == mails


async def sent(browser: Browser) -> list[dict[str, str]]:
    """Return the mails but for the one of the scene itself."""
    return [{"to": to} for to, subject in await told(browser)][1:]


async def test_one_row_can_be_chosen_by_itself(app: Quart) -> None:
    browser, _ = await administrator(app)
    person = await make_person()
    form = {"ids": str(person.id), "act": "disable", "role": "", "confirmed": "on"}
    answer = await post(browser, PAGE, form)
    assert answer.status_code == 200
    assert (await there(person.id)).state == "disabled"


@pytest.mark.parametrize(
    "form",
    [
        {"act": "disable"},
        {"ids": "1"},
        {"ids": "1", "act": "no-such-act"},
        {"ids": "x", "act": "disable"},
        {"ids": [str(each) for each in range(1, MOST_CHOSEN + 2)], "act": "disable"},
    ],
    ids=["nobody", "no act", "unknown act", "no number", "too many"],
)
async def test_what_says_too_little_leads_back_to_the_list(
    app: Quart, form: dict[str, Any]
) -> None:
    browser, _ = await administrator(app)
    answer = await post(browser, PAGE, form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/users")
    page = await (await browser.get("/admin/users")).get_data(as_text=True)
    assert "Choose at least one person" in page


async def test_a_role_to_give_has_to_be_one(app: Quart) -> None:
    browser, _ = await administrator(app)
    person = await make_person()
    for role in (None, "No such role"):
        body = {"ids": [person.id], "act": "role", "role": role}
        answer = await browser.post("/api/v1/users/acts", json=body)
        assert (answer.status_code, (await answer.get_json())["code"]) == (422, "unknown-role")
    form = {"ids": [str(person.id)], "act": "role", "role": "No such role"}
    page = await post(browser, PAGE, form)
    assert page.status_code == 422
    assert "There is no such role." in await page.get_data(as_text=True)


@pytest.mark.parametrize(
    "ids", [[0], [-1], [2**31], [2**63], [10**30], [1.5], ["x"], [], [None], list(range(1, 1002))]
)
async def test_ids_that_nobody_can_have_are_refused_in_words(app: Quart, ids: list[Any]) -> None:
    browser, _ = await administrator(app)
    answer = await browser.post("/api/v1/users/acts", json={"ids": ids, "act": "disable"})
    assert answer.status_code in (400, 422)
    assert (await answer.get_json())["detail"]


async def test_as_many_as_one_may_choose_are_done_in_one_request(app: Quart) -> None:
    browser, _ = await administrator(app)
    ids = await many(MOST_CHOSEN)
    answer = await browser.post("/api/v1/users/acts", json={"ids": ids, "act": "end-sessions"})
    assert [line["done"] for line in (await answer.get_json())["lines"]] == [True] * MOST_CHOSEN


async def test_the_page_takes_more_rows_than_other_forms_have_fields(app: Quart) -> None:
    browser, _ = await administrator(app)
    ids = [str(each) for each in await many(MOST_CHOSEN)]
    form: dict[str, Any] = {"ids": ids, "act": "end-sessions", "role": "User", "confirmed": "on"}
    answer = await post(browser, PAGE, form)
    assert answer.status_code == 200
    assert "Done: 100" in await answer.get_data(as_text=True)


async def test_an_error_that_nobody_expects_undoes_all(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, ids = await actor(), await many(3)

    async def fail(session: object, actor: Identity, user: User) -> None:
        if user.id == ids[-1]:
            raise RuntimeError("as planned")
        await disable(session, actor, user)  # type: ignore[arg-type]

    disable = people.disable_user
    monkeypatch.setattr(people, "disable_user", fail)
    with pytest.raises(RuntimeError):
        async with db.transaction() as session:
            await selections.act_on(session, who, Selection(ids=ids, act="disable"))
    assert {(await there(each)).state for each in ids} == {"active"}
    assert await told(app.test_client()) == []


async def test_an_account_that_is_named_twice_is_done_once(app: Quart) -> None:
    browser, _ = await administrator(app)
    person, theirs = await make_person(), app.test_client()
    await log_in(theirs, person)
    body = {"ids": [person.id] * 3, "act": "end-sessions"}
    answer = await browser.post("/api/v1/users/acts", json=body)
    assert len((await answer.get_json())["lines"]) == 1
    assert await valid(person.id) == set()
