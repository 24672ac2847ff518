"""`record`: what an entry holds, what it must not hold, and what is erased with an account."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select, update

from app import trail
from app.accounts import acts
from app.auth.models import Purpose, User
from app.config import Config
from app.database import db, utcnow
from app.environment import PROJECT_ROOT
from app.logs import request_id
from app.trail import ACTS, Act, Entry, Origin, Subject, delete_old, erase, record
from tests.accounts.surfaces import API, LINKS, REGISTER, RENAME
from tests.factories.people import PASSWORD, Person, log_in, make_person
from tests.factories.tokens import bearer, make_token
from tests.scenes import Stage

DONE = Act("tests.done", "Something was done")
PAGE = Subject("page", "rules", "Rules")
IP, AGENT = "203.0.113.77", "CanaryBrowser/1.0"


@pytest.fixture(autouse=True)
def no_act_of_tests() -> Iterator[None]:
    """Take the act of these tests out of the list that pages show."""
    yield
    ACTS.pop(DONE.name, None)


async def entries(*acts: str) -> list[Entry]:
    """Return the entries, or those of these acts, the oldest first."""
    async with db.session() as session:
        query = select(Entry).order_by(Entry.id)
        # The fixtures insert the roles, when they are missing.
        query = query.where(Entry.act.in_(acts) if acts else Entry.act != "role.created")
        return list((await session.execute(query)).scalars())


async def everything() -> str:
    """Return all that the table holds, as text."""
    columns = Entry.__table__.columns
    found = [{c.key: getattr(entry, c.key) for c in columns} for entry in await entries()]
    return json.dumps(found, default=str, ensure_ascii=False)


async def recorded(*arguments: Any, **named: Any) -> Entry:
    """Record one act; return its entry as it is read back."""
    async with db.transaction() as session:
        record(session, *arguments, **named)
    return (await entries())[-1]


def acting(came: Origin) -> Any:
    """Set who acts; returns what resets it."""
    return trail.origin.set(lambda: came)


@pytest.mark.parametrize(
    "name", ["password", "password_hash", "new_password", "API_TOKEN", "clientSecret", "digest"]
)
async def test_what_is_named_like_a_secret_is_refused(app: Quart, name: str) -> None:
    async with db.transaction() as session:
        wrong: list[Any] = [{"before": {name: "x"}}, {"after": {name: "x"}}]
        for values in wrong:
            with pytest.raises(ValueError, match=name):
                record(session, DONE, PAGE, **values)
    assert await entries() == []


async def test_values_that_are_equal_are_left_out(app: Quart) -> None:
    before, after = {"title": "Old", "version": 1}, {"title": "New", "version": 1, "shown": True}
    entry = await recorded(DONE, PAGE, before=before, after=after)
    assert entry.changes == {"title": ["Old", "New"], "shown": [None, True]}


async def test_of_a_person_what_is_not_known_to_be_harmless_can_be_erased(app: Quart) -> None:
    robin = Subject("user", 7, "Robin Example", "robin@example.com")
    after = {"role": "Editor", "first_name": "Robin", "telephone": "555-0100"}
    entry = await recorded(DONE, robin, after=after)
    assert entry.changes == {"role": [None, "Editor"]}
    assert entry.subject_name is None
    assert entry.subject_details == {
        "name": "Robin Example",
        "email": "robin@example.com",
        "changes": {"first_name": [None, "Robin"], "telephone": [None, "555-0100"]},
    }


async def test_what_is_no_person_keeps_its_name_and_values(app: Quart) -> None:
    entry = await recorded(DONE, PAGE, after={"email": "office@example.com"})
    assert (entry.subject_kind, entry.subject_id, entry.subject_name) == ("page", "rules", "Rules")
    assert entry.changes == {"email": [None, "office@example.com"]}
    assert entry.subject_details is None


async def test_an_entry_is_none_without_its_transaction(app: Quart) -> None:
    with pytest.raises(RuntimeError):
        async with db.transaction() as session:
            record(session, DONE, PAGE)
            await session.flush()
            raise RuntimeError
    assert await entries() == []


async def test_an_act_has_one_name(app: Quart) -> None:
    assert Act(DONE.name, DONE.words).name in ACTS
    with pytest.raises(ValueError, match=r"tests\.done"):
        Act("tests.done", "Something else")


async def test_long_words_are_cut_to_their_columns(app: Quart) -> None:
    token = acting(Origin("job", via="j" * 300))
    try:
        entry = await recorded(DONE, Subject("page", "s" * 300, "n" * 300))
    finally:
        trail.origin.reset(token)
    assert [len(str(e)) for e in (entry.via, entry.subject_id, entry.subject_name)] == [
        100,
        64,
        200,
    ]


async def test_the_time_and_the_request_are_noted(app: Quart) -> None:
    found = {}
    for asked in ("4711", "-"):  # that is what a command has
        token = request_id.set(asked)
        try:
            found[asked] = await recorded(DONE)
        finally:
            request_id.reset(token)
    assert found["4711"].request_id == "4711"
    assert found["-"].request_id is None
    assert timedelta() <= utcnow() - found["-"].at < timedelta(minutes=1)


async def test_a_request_names_who_and_from_where(app: Quart, client: Browser) -> None:
    robin = await make_person()
    await log_in(client, robin)
    request = RENAME.request({"first_name": "Kim", "last_name": "Guest"}, by_page=API)
    headers = {"User-Agent": AGENT}
    answer = await client.patch(
        request.path, json=request.fields, headers=headers, scope_base={"client": (IP, 5000)}
    )
    assert answer.status_code == 200
    [entry] = await entries("user.renamed")
    assert (entry.actor_kind, entry.actor_id, entry.subject_id) == ("user", robin.id, str(robin.id))
    assert entry.actor_details == {
        "name": "Robin Example",
        "email": robin.email,
        "ip": IP,
        "agent": AGENT,
    }
    assert entry.request_id == answer.headers["X-Request-ID"]
    assert entry.changes == {}


async def test_a_token_is_told_from_a_session(app: Quart, client: Browser) -> None:
    robin = await make_person()
    secret = await make_token(robin.id)
    answer = await client.patch(
        "/api/v1/account",
        json={"first_name": "Kim", "last_name": "Guest"},
        headers=bearer(secret),
    )
    assert answer.status_code == 200
    [entry] = await entries("user.renamed")
    assert (entry.actor_kind, entry.actor_id) == ("token", robin.id)
    assert secret not in await everything()


async def test_who_logs_in_acts_and_not_who_was_logged_in_before(
    app: Quart, client: Browser
) -> None:
    former, robin = await make_person(first_name="Former"), await make_person()
    await log_in(client, former)
    await log_in(client, robin)
    entry = (await entries("session.started"))[-1]
    assert (entry.actor_kind, entry.actor_id, entry.via) == ("user", robin.id, None)
    assert (entry.actor_details or {})["email"] == robin.email
    assert "Former" not in str(entry.actor_details)


async def test_a_visitor_is_nobody_with_an_address(app: Quart, client: Browser) -> None:
    await register(client, "robin@example.com")
    [entry] = await entries("user.registered")
    assert (entry.actor_kind, entry.actor_id) == ("visitor", None)
    assert entry.actor_details == {"ip": IP, "agent": AGENT}


async def register(client: Browser, email: str) -> None:
    fields = {"email": email, "password": PASSWORD, "first_name": "Canary", "last_name": "Bird"}
    request = REGISTER.request(fields, by_page=API)
    answer = await client.post(
        request.path,
        json=request.fields,
        headers={"User-Agent": AGENT},
        scope_base={"client": (IP, 5000)},
    )
    assert answer.status_code == 202


async def delete_themselves(app: Quart, person: Person) -> None:
    browser = app.test_client()
    await log_in(browser, person)
    answer = await browser.post(
        "/api/v1/account/deletion",
        json={"password": PASSWORD},
        headers={"User-Agent": AGENT},
        scope_base={"client": (IP, 5000)},
    )
    assert answer.status_code == 204


async def delete_by_administrator(app: Quart, person: Person) -> None:
    browser = await Stage(app, "").administrator()
    assert (await browser.delete(f"/api/v1/users/{person.id}")).status_code == 204


@pytest.mark.parametrize("delete", [delete_themselves, delete_by_administrator])
async def test_of_a_deleted_person_the_id_is_left(app: Quart, delete: Any) -> None:
    """What others did to the account, and its earlier address, name them as well."""
    person = await make_person(email="canary@example.com", first_name="Canary")
    administrator = await Stage(app, "").administrator()
    change = {"first_name": "Canary2", "last_name": "Bird", "email": "canary2@example.com"}
    answer = await administrator.patch(f"/api/v1/users/{person.id}", json=change)
    assert answer.status_code == 200
    moved = Person(person.id, "canary2@example.com", "Canary2", PASSWORD)
    browser = app.test_client()
    await browser.post(
        "/api/v1/session",
        json={"email": moved.email, "password": PASSWORD},
        headers={"User-Agent": AGENT},
        scope_base={"client": (IP, 5000)},
    )
    assert "canary@example.com" in await everything()
    assert AGENT in await everything()
    before = {entry.id for entry in await entries()}
    await delete(app, moved)
    text = (await everything()).lower()
    assert [word for word in ("canary", "bird", IP, AGENT.lower()) if word in text] == []
    found = await entries()
    assert before < {entry.id for entry in found}
    theirs = [entry for entry in found if entry.subject_id == str(person.id)]
    assert {entry.act for entry in theirs} >= {
        "user.renamed",
        "user.email_changed",
        "session.started",
        "user.deleted",
    }
    # The administrators are people too, and still there.
    assert all(e.actor_details for e in found if e.actor_id not in (person.id, None))


async def test_of_a_registration_that_gave_way_the_id_is_left(app: Quart, client: Browser) -> None:
    """Whoever sets the address up anew knows nothing of who had registered it."""
    await register(client, "owner@example.com")
    async with db.session() as session:
        former = (await session.execute(select(User))).scalar_one()
    stage = Stage(app, "")
    registered = Person(former.id, former.email, former.first_name, PASSWORD)
    secret = await stage.link(Purpose.CONFIRM, registered)
    answer = await app.test_client().post(
        "/api/v1/account/set-up",
        json={
            "token": secret,
            "password": "seven brass turnips whisper",
            "first_name": "Olive",
            "last_name": "Owner",
        },
    )
    assert answer.status_code == 201
    text = await everything()
    assert [word for word in ("Canary", "Bird", IP, AGENT, secret) if word in text] == []
    theirs = [e.act for e in await entries() if e.subject_id == str(former.id)]
    assert theirs == ["user.registered", "user.deleted"]
    assert "Olive" in text


async def test_whoever_has_an_address_next_is_not_erased_with_who_had_it(app: Quart) -> None:
    first = Subject("user", 7, "Canary Bird", "shared@example.com")
    second = Subject("user", 8, "Robin Example", "shared@example.com")
    await recorded(acts.EMAIL_CHANGED, first, before={"email": "shared@example.com"}, after={})
    await recorded(acts.EMAIL_CHANGED, second, before={}, after={"email": "shared@example.com"})
    async with db.transaction() as session:
        await erase(session, 7)
    left, kept = await entries("user.email_changed")
    assert left.subject_details is None
    assert (kept.subject_details or {})["email"] == "shared@example.com"


async def test_reverting_a_change_holds_its_addresses_where_they_can_be_erased(app: Quart) -> None:
    person = await make_person(email="thief@example.com")
    stage = Stage(app, "")
    secret = await stage.link(Purpose.OBJECT, person, "canary@example.com")
    link = LINKS[Purpose.OBJECT].use(secret, by_page=API)
    answer = await app.test_client().post(link.path, json=link.fields)
    assert answer.status_code == 200
    [entry] = await entries("user.email_reverted")
    assert entry.changes == {}
    changes = (entry.subject_details or {})["changes"]
    assert changes == {"email": ["thief@example.com", "canary@example.com"]}
    assert (entry.actor_kind, entry.actor_id) == ("visitor", None)


async def test_old_entries_are_deleted_in_batches_and_others_stay(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "BATCH", 2)
    for number in range(4):
        await recorded(DONE, after={"number": number})
    async with db.transaction() as session:
        aged = update(Entry).where(Entry.id <= (await entries())[2].id)
        await session.execute(aged.values(at=utcnow() - timedelta(seconds=100)))
    deleted = []
    for _ in range(3):
        async with db.transaction() as session:
            deleted.append(await delete_old(session, 50))
    assert deleted == [2, 1, 0]
    assert [entry.changes for entry in await entries()] == [{"number": [None, 3]}]


async def test_nothing_of_the_application_changes_an_entry(settings: Config) -> None:
    """Only `erase` and `delete_old` touch what is there: the rest only adds."""
    found = {
        str(path.relative_to(PROJECT_ROOT))
        for path in (PROJECT_ROOT / "app").rglob("*.py")
        if any(f"{word}(Entry)" in path.read_text() for word in ("update", "delete"))
    }
    assert found == {"app/trail.py"}
