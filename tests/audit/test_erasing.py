"""People who are deleted while they act: the trail loses their names all the same."""

from quart import Quart
from sqlalchemy import select

from app import trail
from app.accounts import service
from app.audit.service import end_retention
from app.auth import acts
from app.database import db
from app.trail import PERSON, Entry, Origin, Subject
from tests.factories.people import make_person


async def test_what_is_committed_after_an_account_is_gone_is_erased_at_night(app: Quart) -> None:
    gone, here = await make_person(first_name="Gone"), await make_person(first_name="Here")
    async with db.transaction() as session:
        await service.remove_user(session, gone.id)
    for person in (gone, here):
        said = Origin("user", user_id=person.id, name=person.first_name, ip="192.0.2.1")
        token = trail.origin.set(lambda said=said: said)  # type: ignore[misc]
        async with db.transaction() as session:
            trail.record(session, acts.SESSION_REVOKED, Subject("page", "team", "Team"))
            whom = Subject(PERSON, person.id, person.first_name, person.email)
            trail.record(session, acts.SESSION_REVOKED, whom)
        trail.origin.reset(token)
    await end_retention()
    async with db.session() as session:
        ended = select(Entry).where(Entry.act == acts.SESSION_REVOKED.name).order_by(Entry.id)
        entries = list((await session.execute(ended)).scalars())
    assert [entry.actor_id for entry in entries] == [gone.id, gone.id, here.id, here.id]
    assert [bool(entry.actor_details) for entry in entries] == [False, False, True, True]
    assert [bool(entry.subject_details) for entry in entries] == [False, False, False, True]
