"""What an act leaves: scenes that play each route, and a watch on what is written in each.

A feature's scenes stand in `tests/<feature>/scenes.py`, in a list named `SCENES`. Routes that
change nothing that is worth an entry stand there too, in `NOTHING`, with the reason.
"""

import importlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from quart.wrappers import Response
from sqlalchemy import Connection, Engine, event, select

from app.accounts import links, roles
from app.auth.models import Purpose, User
from app.database import Base, db
from app.environment import PROJECT_ROOT
from app.trail import Entry
from app.validators.email_address import email_address
from tests.accounts.surfaces import SESSION_COOKIE, Request
from tests.factories.people import PASSWORD, Person, log_in, make_person

CHOSEN = "seven brass turnips whisper"  # the new password of every scene
WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\s+\"?(\w+)\"?")

# Tables, or kinds of statements on them, that need no entry of their own.
EXEMPT = {
    "trail": "the entries themselves",
    "outbox": "mails that an act posts: the act has the entry",
    "INSERT INTO jobs": "work that an act enqueues: the act has the entry",
    "schedules": "when the worker has last run what is scheduled",
    "daily_figures": "sums that are counted again",
    "UPDATE credentials SET last_used_at": "a session is used, which happens all the time",
}


@dataclass
class Transaction:
    """What one transaction has written: statements in short, each with its table."""

    writes: list[tuple[str, str]] = field(default_factory=list)
    savepoints: dict[str, int] = field(default_factory=dict)

    @property
    def unrecorded(self) -> list[str]:
        """What it has written that needs an entry, if it has none."""
        if any(table == "trail" for _, table in self.writes):
            return []
        return [
            statement
            for statement, table in self.writes
            if table not in EXEMPT and not statement.startswith(tuple(EXEMPT))
        ]


@contextmanager
def watching() -> Iterator[list[Transaction]]:
    """Collect what each transaction of this process writes and commits."""
    committed: list[Transaction] = []
    known = set(Base.metadata.tables)

    def begin(connection: Connection) -> None:
        connection.info["written"] = Transaction()

    def note(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if cursor.rowcount == 0:
            return
        one_line = " ".join(statement.replace('"', "").split())
        written: Transaction = connection.info.setdefault("written", Transaction())
        for found in WRITES.finditer(one_line):
            if (table := found[2]) in known:
                written.writes.append((one_line[found.start() :], table))

    def savepoint(connection: Connection, name: str) -> None:
        written: Transaction = connection.info["written"]
        written.savepoints[name] = len(written.writes)

    def back(connection: Connection, name: str, _: Any) -> None:
        written: Transaction = connection.info["written"]
        del written.writes[written.savepoints[name] :]

    def commit(connection: Connection) -> None:
        committed.append(connection.info.pop("written", Transaction()))

    listeners: dict[str, Callable[..., None]] = {
        "begin": begin,
        "after_cursor_execute": note,
        "savepoint": savepoint,
        "rollback_savepoint": back,
        "commit": commit,
    }
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield committed
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)


@dataclass
class Stage:
    """Where a scene is played: people, their browsers, and the one request that counts."""

    app: Quart
    endpoint: str
    secrets: set[str] = field(default_factory=lambda: {PASSWORD, CHOSEN})
    committed: list[Transaction] = field(default_factory=list)
    number: int = 0  # of the last entry before the request

    def visitor(self) -> Browser:
        """Return a browser without a session."""
        return self.app.test_client()

    async def log_in(self, person: Person) -> Browser:
        """Return a browser of somebody."""
        browser = self.app.test_client()
        await log_in(browser, person)
        self._keep_cookies(browser)
        return browser

    async def member(self, **values: Any) -> tuple[Browser, Person]:
        """Return somebody, and their browser."""
        person = await make_person(**values)
        return await self.log_in(person), person

    async def administrator(self) -> Browser:
        """Return the browser of an administrator."""
        return await self.log_in(await make_person(role=roles.ADMINISTRATOR))

    async def link(
        self, purpose: Purpose, person: Person, email: str | None = None, *, registered: bool = True
    ) -> str:
        """Return the secret of a link, as it is mailed to somebody."""
        to = email_address(email or person.email)
        confirms = purpose is Purpose.CONFIRM
        async with db.transaction() as session:
            secret = links.new_link(
                session,
                purpose,
                to,
                user_id=None if confirms else person.id,
                registration=person.id if confirms and registered else 0,
            )
        self.secrets.add(secret)
        return secret

    async def send(self, browser: Browser, request: Request) -> Response:
        """Send the request that the scene is about, which succeeds."""
        at = self.app.url_map.bind("localhost")
        endpoint, values = at.match(request.path.partition("?")[0], method=request.method)
        assert name_of(endpoint, values) == self.endpoint
        async with db.session() as session:
            newest = select(Entry.id).order_by(Entry.id.desc()).limit(1)
            self.number = (await session.execute(newest)).scalar() or 0
        kind: dict[str, Any] = {}
        if request.fields is not None and request.by_page:
            kind["data"] = urlencode(request.fields, doseq=True)
            kind["headers"] = {"Content-Type": "application/x-www-form-urlencoded"}
        elif request.fields is not None:
            kind["json"] = request.fields
        with watching() as committed:
            answer = await browser.open(request.path, method=request.method, **kind)
            text = await answer.get_data(as_text=True)
        assert answer.status_code in (200, 201, 202, 204, 303), text
        assert not (request.by_page and answer.status_code == 200 and 'class="flash' in text), text
        self.committed += committed
        self._keep_cookies(browser)
        if answer.is_json and isinstance(found := json.loads(text), dict):
            self.secrets |= {
                str(each["token"])
                for each in (found, found.get("session"))
                if each and "token" in each
            }
        return answer

    def _keep_cookies(self, browser: Browser) -> None:
        assert browser.cookie_jar is not None
        self.secrets |= {
            str(cookie.value) for cookie in browser.cookie_jar if cookie.name == SESSION_COOKIE
        }

    async def entries(self) -> list[Entry]:
        """Return the entries that the request has left, and later ones."""
        async with db.session() as session:
            query = select(Entry).where(Entry.id > self.number).order_by(Entry.id)
            return list((await session.execute(query)).scalars())


Play = Callable[[Stage], Awaitable[object]]


@dataclass(frozen=True)
class Scene:
    """A request to a route that succeeds, and the acts that it leaves in the trail."""

    endpoint: str  # with the act in its path, if there are several: "jobs.act_on retry"
    acts: frozenset[str]
    play: Play


def scene(endpoint: str, acts: str, play: Play) -> Scene:
    """Declare a scene; the names of its acts are separated by blanks."""
    return Scene(endpoint, frozenset(acts.split()), play)


def name_of(endpoint: str, values: Mapping[str, Any]) -> str:
    """Name a route, with the act in its path if it has one."""
    return f"{endpoint} {values['act']}" if "act" in values else endpoint


async def find(user_id: int) -> User:
    """Return somebody's row."""
    async with db.session() as session:
        return (await session.execute(select(User).where(User.id == user_id))).scalar_one()


def modules() -> list[ModuleType]:
    """Import the scenes of every feature that is here."""
    found = sorted((PROJECT_ROOT / "tests").glob("*/*scenes.py"))
    return [importlib.import_module(f"tests.{path.parent.name}.{path.stem}") for path in found]
