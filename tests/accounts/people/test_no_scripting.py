"""What people and administrators type is text on every page of the administration."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import insert, update

from app.auth.models import Credential, Role, User
from app.database import db, utcnow
from app.jobs.models import Job, State
from tests.accounts.people.administering import administrator
from tests.factories.people import log_in, make_person, make_role

PAYLOADS = [
    "<script>alert(7)</script>",
    '"><img src=x onerror=alert(7)>',
    "' onmouseover='alert(7)",
    "javascript:alert(7)",
    "</textarea></title></pre><svg onload=alert(7)>",
    "{{ 71993*74017 }}",
]
OURS = {"src", "href", "action", "formaction"}
LOCAL = ("/", "#", "?", "data:image/svg", "http://localhost/", "")


@dataclass
class Page(HTMLParser):
    """A page as a browser reads it: what it would run, and where it would go."""

    wrong: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        values = dict(attrs)
        if tag == "script" and not (values.get("src") or "").startswith("/static/"):
            self.wrong.append("an inline script")
        if tag in ("img", "iframe", "object", "embed"):
            self.wrong.append(tag)
        for name, value in values.items():
            if name.startswith("on") or name in ("style", "srcdoc"):
                self.wrong.append(f"{tag} {name}")
            if name in OURS and not (value or "").startswith(LOCAL[:-1]) and value:
                self.wrong.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.inside == "script" and data.strip():
            self.wrong.append(f"script {data}")


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    return page


def test_the_reader_of_pages_finds_what_would_run() -> None:
    for payload in PAYLOADS[:2] + PAYLOADS[4:5]:
        assert read(f"<p>{payload}</p>").wrong, payload
    assert read(f"<a title='{PAYLOADS[2]}'>x</a>").wrong
    assert read(f'<a href="{PAYLOADS[3]}">x</a>').wrong


async def scene(payload: str) -> dict[str, object]:
    """Put the payload wherever something is stored that an administrator sees."""
    person = await make_person(first_name="Kim")
    key = await make_role()
    job = {
        "name": payload[:100],
        "args": {payload: [payload, {payload: payload}], "plain": payload},
        "state": State.DEAD,
        "error": payload,
        "worker": payload[:100],
        "progress": {payload: payload},
        "created_at": utcnow(),
        "finished_at": utcnow(),
    }
    async with db.transaction() as session:
        names = {"first_name": payload[:64], "last_name": payload[:64], "name_key": payload}
        await session.execute(update(User).where(User.id == person.id).values(names))
        await session.execute(
            update(Role).where(Role.key == key).values(name=payload[:64], key=None)
        )
        row = Credential(purpose="session", digest=payload.encode().ljust(32)[:32])
        row.user_id, row.expires_at = person.id, utcnow().replace(year=2099)
        row.user_agent, row.address = payload, payload[:45]
        session.add(row)
        made = await session.execute(insert(Job).values(job).returning(Job.id))
        job_id = made.scalar_one()
    return {"user": person.id, "job": job_id, "person": person}


async def pages(browser: Browser, payload: str, there: dict[str, object]) -> dict[str, str]:
    """Return every page of the administration with such data, by its path."""
    roles = (await (await browser.get("/api/v1/roles")).get_json())["items"]
    user, role = f"/admin/user/{there['user']}", f"/admin/roles/{roles[-1]['id']}"
    asked = quote(payload)
    paths = [
        "/admin",
        "/admin/users",
        f"/admin/users?q={asked}",
        f"/admin/users?role={asked}",
        f"/admin/users?cursor={asked}",
        f"/admin/users?sort={asked}",
        user,
        *(f"{user}/{each}" for each in ("change-name", "change-email", "change-account-type")),
        *(f"{user}/{each}" for each in ("disable", "delete", "end-sessions", "cancel-invitation")),
        "/admin/roles",
        *(f"/admin/roles/{each['id']}" for each in roles),
        f"{role}/delete",
        "/admin/roles/new",
        "/admin/new-user",
        "/admin/invite-user",
        "/admin/invite-people",
        "/admin/jobs?state=dead",
        f"/admin/jobs?state={asked}",
        f"/admin/jobs/{there['job']}",
        "/admin/audit",
        f"/admin/audit?act={asked}",
    ]
    found = {}
    for path in paths:
        answer = await browser.get(path)
        assert answer.status_code in (200, 400, 404, 422), path
        found[path] = await answer.get_data(as_text=True)
    forms: dict[str, dict[str, str]] = {
        f"{user}/change-name": {"first_name": payload, "last_name": payload, payload: payload},
        f"{user}/change-email": {"email": payload},
        f"{user}/change-account-type": {"role": payload},
        "/admin/roles/new": {"name": payload, "index": payload, "grants": payload},
        "/admin/new-user": dict.fromkeys(("first_name", "last_name", "email", "password"), payload),
        "/admin/invite-user": dict.fromkeys(("first_name", "last_name", "email", "role"), payload),
        "/admin/invite-people": {"people": f"{payload}\n{payload},{payload},{payload}"},
        "/admin/users/selection": {"ids": str(there["user"]), "act": "role", "role": payload[:64]},
        "/admin/users/selection?x": {"ids": str(there["user"]), "act": "delete"},
    }
    for path, form in forms.items():
        answer = await browser.post(path, form=form)
        found[f"POST {path}"] = await answer.get_data(as_text=True)
    return found


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_what_is_stored_or_sent_runs_on_no_page(app: Quart, payload: str) -> None:
    browser, _ = await administrator(app)
    there = await scene(payload)
    found = await pages(browser, payload, there)
    shown = 0
    for path, text in found.items():
        page = read(text)
        assert page.wrong == [], path
        assert "5328705881" not in text.replace(payload, ""), path
        shown += payload[:64] in "".join(page.text)
    assert shown >= 8, "as text it is there"


async def test_a_device_that_names_itself_is_text_on_its_page(app: Quart) -> None:
    browser, _ = await administrator(app)
    person, theirs = await make_person(), app.test_client()
    await log_in(theirs, person)
    async with db.transaction() as session:
        agent = "<img/src=x onerror=alert(7)>"
        mine = update(Credential).where(Credential.user_id == person.id)
        await session.execute(mine.values(user_agent=agent))
    text = await (await browser.get(f"/admin/user/{person.id}")).get_data(as_text=True)
    assert read(text).wrong == []
    assert "&lt;img" in text
