"""Whatever changes something leaves an entry in the trail, in the same transaction."""

import json
from typing import Any

import pytest
from quart import Quart
from sqlalchemy import select
from werkzeug.routing import AnyConverter

from app.database import db
from app.trail import Entry
from tests.scenes import Scene, Stage, Transaction, modules, name_of, watching
from tests.web.callers import callers, routes

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
SCENES: list[Scene] = [each for module in modules() for each in module.SCENES]
NOTHING: dict[str, str] = {
    name: reason for module in modules() for name, reason in getattr(module, "NOTHING", {}).items()
}


def unsafe(app: Quart) -> set[str]:
    """Name every route that may change something, once for each act in its path."""
    names = set()
    for rule in app.url_map.iter_rules():
        if not UNSAFE & (rule.methods or set()):
            continue
        act = rule._converters.get("act")
        items = act.items if isinstance(act, AnyConverter) else [None]
        names |= {name_of(rule.endpoint, {"act": item} if item else {}) for item in items}
    return names


async def test_every_route_that_may_change_something_has_a_scene(app: Quart) -> None:
    played = {each.endpoint for each in SCENES}
    missing = unsafe(app) - played - NOTHING.keys()
    assert not missing, "write a scene in tests/<feature>/scenes.py"
    assert NOTHING.keys() <= unsafe(app)
    assert not played & NOTHING.keys()
    assert {name.partition(" ")[0] for name in played} <= app.view_functions.keys()


def described(entry: Entry) -> str:
    """Return all that an entry holds, as text."""
    return json.dumps({c.key: getattr(entry, c.key) for c in Entry.__table__.columns}, default=str)


@pytest.mark.parametrize(
    "scene", SCENES, ids=[f"{each.endpoint}-{n}".replace(" ", "-") for n, each in enumerate(SCENES)]
)
async def test_what_a_route_changes_is_in_the_trail(app: Quart, scene: Scene) -> None:
    stage = Stage(app, scene.endpoint)
    await scene.play(stage)
    assert [each.unrecorded for each in stage.committed if each.unrecorded] == []
    entries = await stage.entries()
    assert {entry.act for entry in entries} == scene.acts
    async with db.session() as session:
        everything = (await session.execute(select(Entry))).scalars().all()
    text = "\n".join(described(entry) for entry in everything)
    assert [secret for secret in stage.secrets if secret in text] == []


async def test_looking_at_a_page_changes_nothing(app: Quart) -> None:
    browsers = await callers(app)
    looked = 0
    for method, path, _ in routes(app):
        if method in ("GET", "HEAD"):
            with watching() as committed:
                for browser in browsers.values():
                    await (browser.get if method == "GET" else browser.head)(path)
            assert [each.unrecorded for each in committed if each.unrecorded] == [], path
            looked += 1
    assert looked > 30


def test_the_watch_sees_a_write_without_an_entry() -> None:
    users: Any = ("UPDATE users SET first_name=?", "users")
    assert Transaction([users]).unrecorded == [users[0]]
    assert Transaction([users, ("INSERT INTO trail", "trail")]).unrecorded == []
    assert Transaction([("INSERT INTO jobs (id)", "jobs")]).unrecorded == []
    assert Transaction([("UPDATE jobs SET state", "jobs")]).unrecorded != []
