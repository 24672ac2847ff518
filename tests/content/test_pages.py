"""Pages as everybody sees them, and the way of editors to them and back."""

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import delete, select

from app.accounts import roles
from app.auth.models import User
from app.config import Config
from app.content.models import PageVersion
from app.database import db
from app.trail import Entry
from tests.content.editors import API, an_editor, editor, page, post, put, words
from tests.factories.people import log_in, make_person


async def test_about_is_there_before_anybody_has_written_it(app: Quart, client: Browser) -> None:
    assert 'href="/about"' in await page(client, "/account/login")
    html = await page(client, "/about")
    assert "Nobody has written this page yet." in html
    assert "Write this page" not in html
    assert 'href="/admin/pages/about/edit">Write this page' in await page(
        await editor(app), "/about"
    )


async def test_an_editor_goes_from_the_page_to_the_editor_and_back(
    app: Quart, client: Browser
) -> None:
    browser = await editor(app)
    for slug, path in (("about", "/about"), ("team", "/pages/team")):
        saved = await post(browser, slug, "Some *words*.", title="Who we are")
        assert (saved.status_code, saved.headers["Location"]) == (303, path)
        html = await page(browser, path)
        assert "The page is saved." in html
        assert f'href="/admin/pages/{slug}/edit">Edit this page' in html
        assert "<em>words</em>" in await page(client, path)
        form = await page(browser, f"/admin/pages/{slug}/edit")
        assert 'value="Who we are"' in form
        assert "Some *words*.</textarea>" in form
    assert (await client.get("/pages/about")).headers["Location"] == "/about"
    assert "does not exist" in await page(client, "/pages/nothing", 404)
    assert (await client.head("/pages/team")).status_code == 200


async def test_editors_find_the_list_in_the_menu_and_see_nothing_else_there(app: Quart) -> None:
    browser = await editor(app)
    html = await page(browser, "/about")
    assert '<a class="entry" href="/admin/pages">Pages</a>' in html
    assert 'href="/admin"' not in html
    assert 'class="section-nav"' not in await page(browser, "/admin/pages")
    admin, member = app.test_client(), app.test_client()
    await log_in(admin, await make_person(role=roles.ADMINISTRATOR))
    await log_in(member, await make_person())
    assert 'href="/admin/pages"' not in await page(admin, "/about")
    assert 'href="/admin/pages"' in await page(admin, "/admin")
    assert 'href="/admin/pages"' not in await page(member, "/about")


async def test_a_new_page_begins_with_its_address(app: Quart) -> None:
    browser = await editor(app)
    assert "No pages yet" in await page(browser, "/admin/pages")
    response = await browser.post("/admin/pages/new", form={"slug": "team"})
    assert response.headers["Location"] == "/admin/pages/team/edit"
    assert 'name="version" value="0"' in await page(browser, "/admin/pages/team/edit")
    await post(browser, "team", "a")
    taken = await words(await browser.post("/admin/pages/new", form={"slug": "team"}), 409)
    assert "There is a page at this address already." in taken


async def test_lists_are_turned_page_by_page(app: Quart) -> None:
    browser = await editor(app)
    for slug in ("c", "a", "b"):
        await put(browser, slug, "a")
    for version in (1, 2):
        await put(browser, "a", f"version {version}", version)
    for path, key in (("", "slug"), ("/a/versions", "version")):
        seen: list[object] = []
        cursor: str | None = ""
        while cursor is not None:
            asked = {"limit": "2", "cursor": cursor}
            found = await (await browser.get(f"{API}{path}", query_string=asked)).get_json()
            seen += [each[key] for each in found["items"]]
            cursor = found["next"]
        assert seen == (["a", "b", "c"] if key == "slug" else [3, 2, 1])
    assert "Next page" in await page(browser, "/admin/pages?limit=2")
    assert "Next page" in await page(browser, "/admin/pages/a/history?limit=2")
    assert await page(browser, "/admin/pages?cursor=x", 400)


async def test_saving_what_is_there_adds_no_version(app: Quart) -> None:
    """Also not by a form, which sends other line ends, nor by a second press of the button."""
    browser = await editor(app)
    await put(browser, "team", "a\nb")
    assert (await post(browser, "team", "a\r\nb", 1)).status_code == 303
    assert (await post(browser, "team", "a\r\nc", 1)).status_code == 303
    assert (await post(browser, "team", "a\r\nc", 1)).status_code == 303
    found = await (await browser.get(f"{API}/team")).get_json()
    assert (found["version"], found["text"]) == (2, "a\nc")


async def test_the_history_stays_when_its_author_leaves(app: Quart) -> None:
    browser, author = await an_editor(app)
    await put(browser, "team", "a")
    other = await editor(app)
    assert "Kim Example" in await page(other, "/admin/pages/team/history")
    async with db.transaction() as session:
        await session.execute(delete(User).where(User.id == author.id))
        assert (await session.execute(select(PageVersion.author_id))).scalar_one() is None
    for path in ("/admin/pages", "/admin/pages/team/history"):
        assert 'data-label="By">\N{EN DASH}<' in await page(other, path)
    assert "Our team" in await page(other, "/admin/pages/team/history/1")
    assert (await put(other, "team", "b", 1)).status_code == 200


async def test_what_was_typed_survives_a_session_that_ended(app: Quart) -> None:
    """With the version that was edited, so that what others saved meanwhile is not overwritten."""
    browser, kim = await an_editor(app)
    await put(browser, "team", "a")
    form = await page(browser, "/admin/pages/team/edit")
    assert f'name="shown_to" value="{kim.id}"' in form
    await browser.post("/account/logout")
    fields = {"title": "Mine", "text": "mine", "version": "1", "shown_to": str(kim.id)}
    ended = await browser.post("/admin/pages/team/edit", form=fields)
    assert ended.headers["Location"].startswith("/account/login")
    await put(await editor(app), "team", "theirs", 1)
    await log_in(browser, kim)
    form = await page(browser, "/admin/pages/team/edit")
    assert 'value="Mine"' in form
    assert "mine</textarea>" in form
    assert 'name="version" value="1"' in form


async def test_a_limit_keeps_what_was_typed(app: Quart, settings: Config) -> None:
    browser = await editor(app)
    settings.PAGE_LIMIT = "2/hour"
    answers = [await post(browser, "team", f"text {number}", number) for number in range(3)]
    assert answers[-1].status_code == 429
    assert "text 2</textarea>" in await answers[-1].get_data(as_text=True)


async def entries() -> list[Entry]:
    async with db.session() as session:
        query = select(Entry).where(Entry.act.startswith("page.")).order_by(Entry.id)
        return list((await session.execute(query)).scalars())


async def test_every_act_is_in_the_trail(app: Quart) -> None:
    browser, kim = await an_editor(app)
    await put(browser, "team", "a")
    await post(browser, "team", "b", 1, title="Other")
    await browser.post("/admin/pages/team/history/1/restore")
    await browser.post(f"{API}/team/restore", json={"version": 2})
    await put(browser, "team", "b", 4, title="Other")  # nothing changes
    await browser.post("/admin/pages/team/delete")
    found = await entries()
    assert [(each.act, each.changes) for each in found] == [
        ("page.saved", {"version": [None, 1], "title": [None, "Our team"]}),
        ("page.saved", {"version": [1, 2], "title": ["Our team", "Other"]}),
        (
            "page.restored",
            {"version": [2, 3], "title": ["Other", "Our team"], "restored_from": [None, 1]},
        ),
        (
            "page.restored",
            {"version": [3, 4], "title": ["Our team", "Other"], "restored_from": [None, 2]},
        ),
        ("page.deleted", {"version": [4, None], "title": ["Other", None]}),
    ]
    assert {(each.actor_id, each.subject_kind, each.subject_id) for each in found} == {
        (kim.id, "page", "team")
    }


async def test_an_older_version_is_looked_at_and_restored(app: Quart, client: Browser) -> None:
    browser = await editor(app)
    await put(browser, "team", "A foundation for all.")
    await put(browser, "team", "A firm ground for all.", 1, title="Other")
    html = await page(browser, "/admin/pages/team/history/1")
    assert "<strong>foundation</strong>" in html
    assert "<strong>firm ground</strong>" in html
    assert "Restore this version" not in await page(browser, "/admin/pages/team/history/2")
    restored = await browser.post("/admin/pages/team/history/1/restore")
    assert restored.headers["Location"] == "/pages/team"
    assert "A foundation for all." in await page(client, "/pages/team")
    assert "restored from version&nbsp;1" in await page(browser, "/admin/pages/team/history")
    again = await browser.post(f"{API}/team/restore", json={"version": 1})
    assert (await again.get_json())["version"] == 3, "it is as it was already"
    for path in ("/admin/pages/team/history/9", "/admin/pages/none/history"):
        assert await page(browser, path, 404)
    assert (await browser.post(f"{API}/team/restore", json={"version": 9})).status_code == 404


async def test_a_version_that_no_page_can_have_is_refused_by_its_field(app: Quart) -> None:
    browser = await editor(app)
    for path in ("about", "about/restore"):
        method = browser.post if "/" in path else browser.put
        fields = {} if "/" in path else {"title": "About", "text": "Us"}
        response = await method(f"{API}/{path}", json=fields | {"version": 2**40})
        assert response.status_code == 422
        assert [each["field"] for each in (await response.get_json())["errors"]] == ["version"]


async def test_deleting_says_what_is_lost_and_asks(app: Quart, client: Browser) -> None:
    browser = await editor(app)
    await put(browser, "team", "a")
    await put(browser, "team", "b", 1)
    assert 'href="/admin/pages/team/delete"' in await page(browser, "/admin/pages/team/edit")
    assert "its 2 versions" in await page(browser, "/admin/pages/team/delete")
    await page(client, "/pages/team")
    assert (await browser.post("/admin/pages/team/delete")).headers["Location"] == "/admin/pages"
    await page(client, "/pages/team", 404)
    assert (await browser.post("/admin/pages/team/delete")).status_code == 404
    assert (await browser.delete(f"{API}/team")).status_code == 404
    async with db.session() as session:
        assert (await session.execute(select(PageVersion))).first() is None
    assert await page(browser, "/admin/pages/team/history", 404)
