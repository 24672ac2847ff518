"""Every search of the trail reads an index of PostgreSQL, in its order."""

from typing import Any

import pytest
from quart import Quart
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import service
from app.audit.schemas import TrailQuery
from app.auth.identity import Identity
from app.database import db
from app.keyset import ListQuery
from tests.audit.entries import add

PEOPLE, TIMES = {"person": "7"}, {"since": "2030-01-01", "before": "2031-01-01"}
SEARCHES = {
    "everything": ({}, {"ix_trail_at"}),
    "an act": ({"act": "page.saved"}, {"ix_trail_act"}),
    "a time": (TIMES, {"ix_trail_at"}),
    "an act in a time": ({"act": "page.saved"} | TIMES, {"ix_trail_act", "ix_trail_at"}),
    "a person": (PEOPLE, {"ix_trail_actor", "ix_trail_subject"}),
    "a person in a time": (PEOPLE | TIMES, {"ix_trail_actor", "ix_trail_subject"}),
}


async def plan_of(session: AsyncSession, wanted: TrailQuery | ListQuery) -> list[dict[str, Any]]:
    """Return the nodes of the plan of the statement that a search sends."""
    sent: list[tuple[str, Any]] = []

    def note(c: object, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append((statement, parameters))

    engine = db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        if isinstance(wanted, TrailQuery):
            await service.search(session, wanted)
        else:
            await service.own_entries(session, Identity(user_id=7), wanted)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    [(statement, parameters)] = sent
    connection = await session.connection()
    explained = await connection.exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {statement}", tuple(parameters)
    )
    [found] = explained.scalar_one()
    return list(nodes(found["Plan"]))


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a plan and all below it."""
    return [plan, *(each for below in plan.get("Plans", []) for each in nodes(below))]


@pytest.mark.parametrize("asked", SEARCHES)
async def test_a_search_reads_its_index(app: Quart, backend: str, asked: str) -> None:
    if backend != "postgresql":
        pytest.skip("SQLite has plans of another kind")
    query, indexes = SEARCHES[asked]
    for each in range(1, 31):  # the planner knows many people and acts
        act = ("page.saved", "user.renamed", "session.started")[each % 3]
        await add(100, act=act, actor_id=each, subject_kind="user", subject_id=str(each))
    async with db.transaction() as session:
        await session.execute(text("ANALYZE trail"))
    async with db.session() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        await session.execute(text("SET LOCAL enable_bitmapscan = off"))
        plan = await plan_of(session, TrailQuery.model_validate(query))
    used = {each["Index Name"] for each in plan if "Index Name" in each}
    assert set() < used - {"pk_trail"} <= indexes
    assert "Seq Scan" not in {each["Node Type"] for each in plan}
    if "person" not in query:  # two lists of one page each are put in order together
        assert "Sort" not in {each["Node Type"] for each in plan}
