"""People see what they did, and what was done to their account."""

from typing import Any

from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.audit import service
from app.auth.identity import Identity
from app.config import Config
from app.database import db, utcnow
from tests.audit.entries import add, administrator
from tests.factories.people import Person, log_in, make_person

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def person_of(app: Quart) -> tuple[Browser, Person]:
    person, browser = await make_person(), app.test_client()
    await log_in(browser, person)
    return browser, person


async def own(browser: Browser) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (
        await (await browser.get("/api/v1/account/activity")).get_json()
    )["items"]
    return items


def by_another(person: Person, **values: Any) -> dict[str, Any]:
    return {
        "actor_id": person.id + 1,
        "actor_details": {"name": "Ada Admin", "email": "ada@example.com", "ip": "203.0.113.9"},
        "subject_kind": "user",
        "subject_id": str(person.id),
        "subject_details": {"name": "Robin Example", "email": person.email},
    } | values


async def test_a_log_in_is_there_with_its_place(app: Quart) -> None:
    browser, person = app.test_client(), await make_person()
    await browser.post(
        "/account/login",
        form={"email": person.email, "password": person.password},
        headers={"User-Agent": AGENT},
        scope_base={"client": ("203.0.113.7", 5000)},
    )
    [entry] = await own(browser)
    assert (entry["words"], entry["by"], entry["on"]) == ("Logged in", "you", "your account")
    assert (entry["ip"], entry["device"]) == ("203.0.113.7", "Firefox on Linux")
    page = await (await browser.get("/account/activity")).get_data(as_text=True)
    for words in ("Logged in", "You", "203.0.113.7", "Firefox on Linux"):
        assert words in page


async def test_who_else_acted_is_not_named(app: Quart) -> None:
    browser, person = await person_of(app)
    await add(**by_another(person, act="user.role_changed", changes={"role": ["User", "Editor"]}))
    await add(**by_another(person, act="user.disabled", actor_kind="command", actor_id=None))
    texts = [
        await (await browser.get(path)).get_data(as_text=True)
        for path in ("/account/activity", "/api/v1/account/activity", "/api/v1/account/data")
    ]
    for text in texts:
        assert "Ada Admin" not in text
        assert "ada@example.com" not in text
        assert "203.0.113.9" not in text
        assert "an administrator" in text.lower()
        assert "an operator of this site" in text.lower()
    assert "Role: User → Editor" in texts[0]


async def test_whom_else_one_acted_on_is_not_named(app: Quart) -> None:
    """Not in the data export either: those are other people's names."""
    browser, person = await person_of(app)
    other: dict[str, Any] = {
        "actor_id": person.id,
        "subject_kind": "user",
        "subject_id": str(person.id + 1),
        "subject_details": {"name": "Kim Guest", "changes": {"first_name": ["Tim", "Kim"]}},
    }
    await add(**other)
    await add(actor_id=person.id, act="page.saved", subject_kind="page", subject_name="Rules")
    for path in ("/account/activity", "/api/v1/account/activity", "/api/v1/account/data"):
        text = await (await browser.get(path)).get_data(as_text=True)
        assert "Kim" not in text, path
        assert "Tim" not in text, path
        assert "another account" in text, path
        assert "page Rules" in text, path


async def test_nobody_elses_entries_are_there(app: Quart) -> None:
    browser, person = await person_of(app)
    await add(actor_id=person.id + 1, act="user.created")
    await add(subject_kind="page", subject_id=str(person.id), act="page.saved")
    assert [entry["act"] for entry in await own(browser)] == ["session.started"]


async def test_pages_of_it_go_on(app: Quart) -> None:
    browser, person = await person_of(app)
    await add(60, actor_id=person.id)
    page = await (await browser.get("/account/activity")).get_data(as_text=True)
    assert page.count('<th scope="row">') == 50
    href = page.partition('<a class="button button-quiet" href="')[2].partition('"')[0]
    more = await (await browser.get(href.replace("&amp;", "&"))).get_data(as_text=True)
    assert more.count('<th scope="row">') == 11


async def test_who_has_no_entries_is_told_so(app: Quart) -> None:
    browser, _ = await administrator(app)
    page = await (await browser.get("/account/activity")).get_data(as_text=True)
    assert "What you do here appears on this page." in page


async def test_the_export_has_at_most_a_thousand(app: Quart) -> None:
    person = await make_person()
    await add(1001, actor_id=person.id)
    async with db.session() as session:
        found = await service.export_own(session, Identity(user_id=person.id))
    assert len(found) == 1000


async def test_what_is_older_than_its_retention_ends(app: Quart, settings: Config) -> None:
    person = await make_person()
    await add(1, actor_id=person.id, act="user.created", at=utcnow().replace(year=2020))
    await add(1, actor_id=person.id, at=utcnow())
    settings.TRAIL_RETENTION = 86_400
    await service.end_retention()
    async with db.session() as session:
        left = await service.export_own(session, Identity(user_id=person.id))
    assert [entry["act"] for entry in left] == ["user.renamed"]
