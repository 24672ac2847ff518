"""Two people at one page at once: one wins, and nothing that anybody typed is lost."""

import asyncio
from collections import Counter

import pytest
from quart import Quart

from app.accounts import people, roles
from app.accounts.service import disable_user, remove_user
from app.auth.acting import NoLongerSignedIn
from app.content import service
from app.content.schemas import PageIn
from app.database import db
from tests.content.editors import API, an_editor, begin, editor, page, post, put, words
from tests.factories.people import make_person
from tests.factories.tokens import bearer, make_token
from tests.mail.acts import signed_in
from tests.web import slow_bodies


async def test_who_saves_second_sees_what_differs_and_then_wins(app: Quart) -> None:
    kim, lee = await editor(app, "Kim"), await editor(app, "Lee")
    await put(kim, "team", "First line.\nA line of both.")
    await post(lee, "team", "First line of Lee.\nA line of both.", 1, title="Lee's")
    html = await words(await post(kim, "team", "First line of Kim.\nA line of both.", 1), 409)
    assert "Somebody has saved this page since you opened it." in html
    assert "Lee Example saved version 2" in html
    assert "<strong>Lee</strong>" in html
    assert "<strong>Kim</strong>" in html
    assert "First line of Kim.\nA line of both.</textarea>" in html
    assert 'value="Our team"' in html
    assert 'name="version" value="2"' in html
    assert "First line of Lee." in await page(kim, "/pages/team")
    assert (await post(kim, "team", "First line of Kim.", 2)).status_code == 303
    assert "First line of Lee." in await page(kim, "/admin/pages/team/history/2")


async def test_by_the_api_the_second_gets_409(app: Quart) -> None:
    browser = await editor(app)
    await put(browser, "team", "a")
    await put(browser, "team", "b", 1)
    for text, version in (("c", 1), ("c", 0), ("c", 3)):
        refused = await put(browser, "team", text, version)
        assert (refused.status_code, (await refused.get_json())["code"]) == (
            409,
            "edited-meanwhile",
        )
    assert (await (await browser.get(f"{API}/team")).get_json())["text"] == "b"


async def test_a_change_of_another_version_than_the_expected_one_is_refused(app: Quart) -> None:
    browser = await editor(app)
    made = await put(browser, "team", "a")
    tag = (await browser.get(f"{API}/team")).headers["ETag"]
    assert made.headers["ETag"] == tag
    saved = await put(browser, "team", "b", 1)
    outdated = {"If-Match": tag}
    restored = {"version": 1}
    for answer in (
        await browser.put(f"{API}/team", json={"title": "c", "text": "c"}, headers=outdated),
        await browser.post(f"{API}/team/restore", json=restored, headers=outdated),
        await browser.delete(f"{API}/team", headers=outdated),
        await browser.put(f"{API}/none", json={"title": "c", "text": "c"}, headers=outdated),
    ):
        assert (answer.status_code, (await answer.get_json())["code"]) == (
            412,
            "changed-meanwhile",
        )
    expected = {"If-Match": saved.headers["ETag"]}
    back = await browser.post(f"{API}/team/restore", json=restored, headers=expected)
    assert (await back.get_json())["text"] == "a"
    last = {"If-Match": back.headers["ETag"]}
    assert (await browser.delete(f"{API}/team", headers=last)).status_code == 204


async def test_a_page_that_was_made_again_is_another_one(app: Quart) -> None:
    browser = await editor(app)
    first = (await put(browser, "team", "a")).headers["ETag"]
    await browser.delete(f"{API}/team")
    again = (await put(browser, "team", "b")).headers["ETag"]
    assert first != again


async def test_a_page_that_was_deleted_meanwhile_can_be_made_anew(app: Quart) -> None:
    kim, lee = await editor(app), await editor(app)
    await put(kim, "team", "a")
    await lee.delete(f"{API}/team")
    refused = await put(kim, "team", "b", 1)
    assert (await refused.get_json())["code"] == "deleted-meanwhile"
    html = await words(await post(kim, "team", "what I typed", 1), 409)
    assert "Somebody has deleted this page since you opened it." in html
    assert "what I typed</textarea>" in html
    assert 'name="version" value="0"' in html
    assert (await post(kim, "team", "what I typed", 0)).status_code == 303
    assert "what I typed" in await page(kim, "/pages/team")


@pytest.mark.parametrize("version", [0, 1], ids=["new", "old"])
async def test_of_many_saves_at_once_one_wins(app: Quart, version: int) -> None:
    browsers = [await editor(app) for _ in range(4)]
    if version:
        await put(browsers[0], "team", "before")
    answers = await asyncio.gather(
        *(begin(put(each, "team", f"text {n}", version)) for n, each in enumerate(browsers)),
        *(begin(post(each, "team", f"more {n}", version)) for n, each in enumerate(browsers)),
    )
    codes = Counter(answer.status_code for answer in answers)
    assert codes[409] == 7
    assert codes[200] + codes[303] == 1
    assert (await (await browsers[0].get(f"{API}/team")).get_json())["version"] == version + 1


@pytest.mark.parametrize("act", ["save", "create", "restore", "delete"])
async def test_who_saves_while_another_act_is_under_way_waits_for_it(app: Quart, act: str) -> None:
    browser, kim = await an_editor(app)
    version = 0 if act == "create" else 2
    for number in range(version):
        await put(browser, "team", f"text {number}", number)
    actor = await signed_in(kim.id)
    async with db.transaction() as session:
        if act == "restore":
            await service.restore_page(session, actor, "team", 1)
        elif act == "delete":
            await service.delete_page(session, actor, "team")
        else:
            data = PageIn(title="Theirs", text="theirs", version=version)
            await service.save_page(session, actor, "team", data)
        saving = begin(post(browser, "team", "mine", version))
        await asyncio.sleep(0.2)  # it gets as far as it can
        assert not saving.done()
    html = await words(await saving, 409)
    assert "mine</textarea>" in html
    assert ("deleted" in html) is (act == "delete")


async def test_restoring_and_saving_at_once_keeps_both(app: Quart) -> None:
    browser, other = await editor(app), await editor(app)
    await put(browser, "team", "first")
    await put(browser, "team", "second", 1)
    restored, saved = await asyncio.gather(
        begin(browser.post(f"{API}/team/restore", json={"version": 1})),
        begin(put(other, "team", "third", 2)),
    )
    assert restored.status_code == 200
    texts = {
        (await (await browser.get(f"{API}/team/versions/{number}")).get_json())["text"]
        for number in range(1, 4 + (saved.status_code == 200))
    }
    assert texts == {"first", "second"} | ({"third"} if saved.status_code == 200 else set())


async def test_who_is_deleted_while_they_save_is_told(app: Quart) -> None:
    actors = []
    for _ in range(2):
        _, person = await an_editor(app)
        actors.append((person.id, await signed_in(person.id)))
    (first, kim), (second, lee) = actors
    data = PageIn(title="a", text="a")
    async with db.transaction() as session:
        await service.save_page(session, kim, "team", data)
    async with db.transaction() as session:
        data = PageIn(title="b", text="b", version=1)
        await service.save_page(session, kim, "team", data)
    async with db.transaction() as session:
        for user_id in (first, second):
            await remove_user(session, user_id)
    data = PageIn(title="c", text="c", version=2)
    with pytest.raises(NoLongerSignedIn):
        async with db.transaction() as session:
            await service.save_page(session, lee, "team", data)
    with pytest.raises(NoLongerSignedIn):
        async with db.transaction() as session:
            await service.save_page(session, lee, "new", PageIn(title="c", text="c"))
    with pytest.raises(NoLongerSignedIn):
        async with db.transaction() as session:
            await service.restore_page(session, kim, "team", 1)
    async with db.session() as session:
        assert (await service.get_page(session, "team")).text == "b"
        assert await service.find_page(session, "new") is None


async def test_no_page_is_saved_by_somebody_who_is_disabled_by_then(app: Quart) -> None:
    _, robin = await an_editor(app)
    token, page = bearer(await make_token(robin.id)), {"title": "Ghost", "text": "x"}
    held, rest = await slow_bodies.begin(app, "PUT", f"{API}/ghost", token, page)
    async with db.transaction() as session:
        await disable_user(session, robin.id)
    assert await slow_bodies.finish(held, rest) == 401


async def test_no_page_is_saved_by_an_editor_who_is_none_by_then(app: Quart) -> None:
    boss = await signed_in((await make_person(role=roles.ADMINISTRATOR)).id)
    _, robin = await an_editor(app)
    token, page = bearer(await make_token(robin.id)), {"title": "Ghost", "text": "x"}
    held, rest = await slow_bodies.begin(app, "PUT", f"{API}/ghost", token, page)
    async with db.transaction() as session:
        user = await people.get_person(session, robin.id)
        await people.give_role(session, boss, user, await roles.role_of(session, roles.USER))
    assert await slow_bodies.finish(held, rest) == 403


async def test_if_match_with_a_star_makes_no_new_page(app: Quart) -> None:
    """RFC 9110, 13.1.1: a star is false where there is no current representation."""
    browser, _ = await an_editor(app)
    page = {"title": "New", "text": "x"}
    answer = await browser.put(f"{API}/new", json=page, headers={"If-Match": "*"})
    assert answer.status_code == 412
