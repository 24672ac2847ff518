"""Notes: their pages, their API, and what happens to them in the background."""

from datetime import timedelta

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import delete, func, select, update

from app.accounts import service as accounts
from app.auth.models import User
from app.database import db, utcnow
from app.notes import jobs
from app.notes.models import Note
from tests.factories.people import log_in, make_person


async def test_a_note_is_written_and_listed(client: Browser) -> None:
    await log_in(client, await make_person())
    response = await client.post("/notes/new", form={"text": "Buy <milk>"})
    assert (response.status_code, response.headers["Location"]) == (303, "/notes/")
    page = await (await client.get("/notes/")).get_data(as_text=True)
    assert "Buy &lt;milk&gt;" in page
    assert "Your note is kept." in page


async def test_a_note_without_text_is_refused_beside_its_field(client: Browser) -> None:
    await log_in(client, await make_person())
    response = await client.post("/notes/new", form={"text": ""})
    assert response.status_code == 422
    assert 'aria-invalid="true"' in await response.get_data(as_text=True)


async def test_the_api_adds_and_lists_ones_own_notes_alone(app: Quart) -> None:
    author, other = app.test_client(), app.test_client()
    await log_in(author, await make_person())
    await log_in(other, await make_person())
    response = await author.post("/api/v1/notes", json={"text": "Mine"})
    assert response.status_code == 201
    number = (await response.get_json())["id"]
    for browser, texts, status in ((author, ["Mine"], 200), (other, [], 404)):
        listed = await (await browser.get("/api/v1/notes")).get_json()
        assert [note["text"] for note in listed["notes"]] == texts
        assert (await browser.get(f"/notes/{number}")).status_code == status


async def test_administrators_see_how_many_there_are(client: Browser) -> None:
    await log_in(client, await make_person(role=accounts.ADMINISTRATOR))
    await client.post("/notes/new", form={"text": "One"})
    assert "note kept" in await (await client.get("/admin")).get_data(as_text=True)


async def test_old_notes_are_archived_and_notes_go_with_their_author(client: Browser) -> None:
    await log_in(client, await make_person())
    for text in ("old", "new"):
        await client.post("/notes/new", form={"text": text})
    async with db.transaction() as session:
        year_ago = utcnow() - timedelta(days=366)
        await session.execute(update(Note).where(Note.text == "old").values(created_at=year_ago))
    await jobs.archive_old()
    listed = await (await client.get("/api/v1/notes")).get_json()
    assert [note["text"] for note in listed["notes"]] == ["new"]
    async with db.transaction() as session:
        await session.execute(delete(User))
    async with db.session() as session:
        assert (await session.execute(select(func.count(Note.id)))).scalar_one() == 0
