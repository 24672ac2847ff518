"""What the programs of this folder find on the server: people, roles, jobs, pages, and callers.

A caller is one of the four identities as which the API is called. The hooks run in an environment
without the application, so they ask for what only its database can give, over a socket: a line of
JSON each way. See `Stage.answer`.
"""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

import app.features  # noqa: F401  (every table)
from app.accounts.roles import ADMINISTRATOR, USER
from app.auth.models import Credential, Permission, Purpose, Role, User
from app.auth.states import AccountState
from app.auth.tokens import digest, new_api_token, new_secret
from app.database import Base, utcnow
from app.jobs.models import Job, State
from app.trail import PERSON, Entry
from tests.factories.people import PASSWORD
from tests.factories.tokens import token_row
from tests.faults.accounts.deployed import (
    HASH,
    make_credential,
    make_people,
    make_person,
    new_email,
)
from tests.faults.conftest import transaction

PEOPLE, INVITED, ROLES, JOBS, PAGES, VERSIONS = 160, 40, 60, 120, 60, 3


@dataclass(frozen=True)
class Caller:
    """As whom the API is called. Nobody has no email."""

    name: str
    email: str = ""
    role: str = USER
    purpose: Purpose = Purpose.SESSION


CALLERS = [
    Caller("nobody"),
    Caller("user", "contract.user@example.com"),
    Caller("token", "contract.token@example.com", ADMINISTRATOR, Purpose.TOKEN),
    Caller("administrator", "contract.administrator@example.com", ADMINISTRATOR),
]


async def fill(env: dict[str, str]) -> None:
    """Fill a database: every list has several pages, and every state has some rows."""
    people = await make_people(env, PEOPLE)
    people += await make_people(env, INVITED, confirmed=False, invited=True)
    people += await make_people(env, INVITED, confirmed=False)
    now = utcnow()
    async with transaction(env) as session:
        session.add_all(
            Role(name=f"Role {number}", index="main", permissions=Permission.GENERAL)
            for number in range(ROLES)
        )
        for number in range(JOBS):
            state = (State.WAITING, State.DEAD, State.DONE, State.DISCARDED)[number % 4]
            session.add(
                Job(
                    name="accounts.send_reset",
                    args={"user_id": people[number].id},
                    state=state,
                    due_at=now if state is State.WAITING else None,
                    created_at=now,
                    finished_at=None if state is State.WAITING else now,
                )
            )
        for person in people[:PEOPLE]:
            session.add(_credential(person.id, Purpose.SESSION)[0])
            session.add(
                Entry(
                    act="user.renamed",
                    actor_kind="user",
                    actor_id=person.id,
                    subject_kind=PERSON,
                    subject_id=str(person.id),
                    changes={},
                )
            )
        if "pages" in Base.metadata.tables:  # else that feature has been removed
            _add_pages(session)


def _add_pages(session: AsyncSession) -> None:
    models: Any = importlib.import_module("app.content.models")
    for number in range(PAGES):
        page = models.Page(slug=f"page-{number}", version=VERSIONS)
        session.add(page)
        for version in range(1, VERSIONS + 1):
            text = f"Text {version}"
            session.add(models.PageVersion(page=page, number=version, title="A page", text=text))


def _credential(user_id: int, purpose: Purpose) -> tuple[Credential, str]:
    now = utcnow()
    if purpose is Purpose.TOKEN:
        secret = new_api_token()
        return token_row(user_id, secret), secret  # with all scopes
    secret = new_secret()
    credential = Credential(
        purpose=purpose,
        digest=digest(secret),
        user_id=user_id,
        label="contract",
        authenticated_at=now,
        expires_at=now + timedelta(hours=12),
    )
    return credential, secret


@dataclass
class Stage:
    """A database and the caller of a run."""

    env: dict[str, str]
    caller: Caller

    async def answer(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Do what the hooks ask for.

        `credential`: make the caller's account whole, and return a new secret of it.
        `link`: mail a link of a `purpose`, as it were; returns its secret and whose it is.
        Everything else is a kind of row: make one, and return the values of a path to it.
        """
        match wanted["want"]:
            case "credential":
                return await self.credential()
            case "link":
                return await self.link(Purpose(wanted["purpose"]))
            case "job":
                return await self.job()
            case "session":
                return await self.session(wanted["own"])
            case "token":
                return await self.session(own=True, purpose=Purpose.TOKEN)
        return await self.person(AccountState(wanted["want"]))

    async def credential(self) -> dict[str, Any]:
        """Make the caller's account whole, whatever has happened to it, with a new secret."""
        async with transaction(self.env) as session:
            role = await self._role(session)
            query = select(User).where(User.email == self.caller.email)
            user = (await session.execute(query)).scalar_one_or_none()
            if user is None:
                user = User(email=self.caller.email, first_name="Robin", last_name="Caller")
                session.add(user)
            user.role_id = role.id
            user.password_hash = HASH
            user.confirmed, user.disabled_at, user.must_change_password = True, None, False
            await session.flush()
            credential, secret = _credential(user.id, self.caller.purpose)
            session.add(credential)
        return {"secret": secret, "user_id": user.id}

    async def _role(self, session: AsyncSession) -> Role:
        query = select(Role).where(Role.key == self.caller.role)
        role = (await session.execute(query)).scalar_one()
        if self.caller.role == ADMINISTRATOR:
            role.permissions = Permission.ADMINISTER
        return role

    async def link(self, purpose: Purpose) -> dict[str, Any]:
        """Make somebody with a mailed link that works."""
        invited, confirmed = purpose is Purpose.INVITE, purpose is not Purpose.CONFIRM
        person = await make_person(self.env, confirmed=confirmed and not invited, invited=invited)
        email = new_email() if purpose is Purpose.CHANGE_EMAIL else None
        secret = await make_credential(self.env, person, purpose, email)
        return {"secret": secret, "email": person.email, "password": PASSWORD}

    async def job(self) -> dict[str, Any]:
        """Make a job that waits."""
        now, name = utcnow(), "accounts.send_reset"
        async with transaction(self.env) as session:
            job = Job(name=name, args={}, created_at=now, due_at=now)
            session.add(job)
            await session.flush()
            return {"job_id": str(job.id)}

    async def session(self, own: bool, purpose: Purpose = Purpose.SESSION) -> dict[str, Any]:
        """Begin another session, of the caller or of somebody else; or make a token."""
        async with transaction(self.env) as session:
            if own and self.caller.email:
                query = select(User.id).where(User.email == self.caller.email)
                user_id = (await session.execute(query)).scalar_one()
            else:
                user_id = (await make_person(self.env)).id
            credential, _ = _credential(user_id, purpose)
            session.add(credential)
            await session.flush()
            name = f"{purpose.value}_id"
            return {"user_id": user_id, name: str(credential.id)}

    async def person(self, state: AccountState) -> dict[str, Any]:
        """Make somebody whose account is in this state."""
        invited = state is AccountState.INVITED
        confirmed = state in (AccountState.ACTIVE, AccountState.DISABLED)
        person = await make_person(self.env, confirmed=confirmed, invited=invited)
        if state is AccountState.DISABLED:
            async with transaction(self.env) as session:
                shut_out = update(User).where(User.id == person.id).values(disabled_at=utcnow())
                await session.execute(shut_out)
        return {"user_id": person.id, "email": person.email}


@asynccontextmanager
async def listening(stage: Stage, socket: Path) -> AsyncIterator[None]:
    """Answer the hooks while a block runs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(await stage.answer(json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, str(socket))
    async with server:
        yield
