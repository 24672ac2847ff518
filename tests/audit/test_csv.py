"""The trail as CSV: a stream, which is itself in the trail."""

import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import Engine, event, select

from app.audit import service
from app.audit.schemas import TrailQuery
from app.database import db
from app.trail import Entry
from tests.audit.entries import add, administrator

PATH = "/admin/audit/trail.csv"
COLUMNS = [
    "id",
    "at",
    "act",
    "words",
    "actor_kind",
    "actor_id",
    "actor",
    "via",
    "request_id",
    "subject_kind",
    "subject_id",
    "subject",
    "changes",
]


async def download(browser: Browser, **query: Any) -> list[dict[str, str]]:
    answer = await browser.get(PATH, query_string=query)
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(await answer.get_data(as_text=True))))


async def test_it_is_a_file_with_stable_columns(app: Quart) -> None:
    browser, _ = await administrator(app)
    await add(actor_details={"name": "Zoë"}, changes={"title": [None, 'with "quotes",\nlines']})
    answer = await browser.get(PATH)
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="trail.csv"'
    text = (await answer.get_data(as_text=False)).decode("utf-8")
    header, *rows = csv.reader(io.StringIO(text))
    assert header == COLUMNS
    found = [dict(zip(header, row, strict=True)) for row in rows if row[2] == "user.renamed"]
    assert [row["words"] for row in found] == ["Renamed"]
    assert json.loads(found[0]["actor"]) == {"name": "Zoë"}
    assert json.loads(found[0]["changes"]) == {"title": [None, 'with "quotes",\nlines']}
    assert found[0]["subject"] == ""


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r"])
async def test_no_cell_is_a_formula(app: Quart, begins: str) -> None:
    browser, _ = await administrator(app)
    formula = f"{begins}cmd|' /C calc'!A0"
    await add(act=formula, via=formula, subject_kind="page", subject_id=formula)
    [row] = await download(browser, act=formula)
    assert row["act"] == row["via"] == row["subject_id"] == f"'{formula}"


async def test_no_cell_is_a_formula_where_semicolons_begin_cells(app: Quart) -> None:
    """As in spreadsheets of many countries. Visitors choose what their browsers call themselves."""
    browser, _ = await administrator(app)
    details = {"agent": "A; =cmd|' /C calc'!A0;B", "name": "C;=1+1"}
    await add(act="x", actor_details=details, subject_kind="page", subject_id="D;@SUM(1)")
    answer = await browser.get(PATH, query_string={"act": "x"})
    text = await answer.get_data(as_text=True)
    [_, row] = csv.reader(io.StringIO(text), delimiter=";")
    assert len(row) == 5
    assert [cell for cell in row if cell.lstrip().startswith(("=", "+", "-", "@"))] == []


async def test_it_has_what_the_search_finds(app: Quart) -> None:
    browser, robin = await administrator(app)
    await add(3, actor_id=robin.id)
    await add(4, actor_id=robin.id + 1)
    rows = await download(browser, person=robin.email, act="user.renamed")
    assert [row["actor_id"] for row in rows] == [str(robin.id)] * 3
    answer = await browser.get(PATH, query_string={"person": "nobody@example.com"})
    assert answer.status_code == 422
    assert "No account has this address." in await answer.get_data(as_text=True)


async def test_a_download_is_an_act(app: Quart) -> None:
    browser, robin = await administrator(app)
    await download(browser, person=robin.email, since="2030-01-01")
    async with db.session() as session:
        [entry] = (await session.execute(select(Entry))).scalars()
    assert (entry.act, entry.actor_kind, entry.actor_id) == ("trail.downloaded", "user", robin.id)
    # The number of a person, since their address would stay when their account is deleted.
    assert entry.changes == {
        "person": [None, str(robin.id)],
        "since": [None, "2030-01-01T00:00:00Z"],
    }


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read ten rows at a time."""
    monkeypatch.setattr(service, "CSV_ROWS", 10)


def pieces() -> AsyncIterator[str]:
    return service.as_csv(TrailQuery.model_validate({}))


@pytest.mark.usefixtures("small_pieces")
async def test_every_row_is_there_once(app: Quart) -> None:
    await administrator(app)
    await add(95)
    text = "".join([piece async for piece in pieces()])
    numbers = [int(row["id"]) for row in csv.DictReader(io.StringIO(text))]
    assert len(numbers) == 95
    assert numbers == sorted(set(numbers), reverse=True)


@pytest.mark.usefixtures("small_pieces")
async def test_it_is_read_as_it_is_sent(app: Quart) -> None:
    await administrator(app)
    await add(95)
    loaded = 0

    def count(target: object, context: object) -> None:
        nonlocal loaded
        loaded += 1

    event.listen(Entry, "load", count)
    try:
        before = [loaded async for _ in pieces()]
    finally:
        event.remove(Entry, "load", count)
    assert before[:3] == [0, 11, 22]  # one more than is sent tells that there is more
    assert before[-1] == 95 + 9


@pytest.mark.usefixtures("small_pieces")
async def test_no_connection_is_held_while_a_piece_is_sent(app: Quart) -> None:
    await administrator(app)
    await add(95)
    out: list[Engine] = []

    def leave(connection: Any, record: object, proxy: object) -> None:
        out.append(connection)

    def come_back(connection: Any, record: object) -> None:
        out.remove(connection)

    pool = db.engine.sync_engine.pool
    event.listen(pool, "checkout", leave)
    event.listen(pool, "checkin", come_back)
    try:
        async with aclosing(cast(Any, pieces())) as sent:
            for _ in range(4):
                await anext(sent)
                assert out == []
        assert out == []  # and the client has gone
    finally:
        event.remove(pool, "checkout", leave)
        event.remove(pool, "checkin", come_back)


async def test_asking_for_its_headers_reads_nothing(app: Quart) -> None:
    browser, _ = await administrator(app)
    answer = await browser.head(PATH)
    assert answer.status_code == 200
    async with db.session() as session:
        assert (await session.execute(select(Entry))).scalars().all() == []
