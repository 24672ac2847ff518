"""Accounts as they are deployed: requests to server processes, and people in their database."""

import http.client
import json
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from threading import Barrier
from typing import NamedTuple

from argon2 import PasswordHasher

from app.auth.devices import device_digest
from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest, new_api_token, new_secret
from app.config import Config
from app.database import utcnow
from tests.accounts.surfaces import API, LINKS, LOG_IN, Request, session_in
from tests.factories.people import PASSWORD
from tests.faults.conftest import transaction
from tests.processes import Served

NEW = "nine green lanterns hum"
WRONG = "not what it is at all"
COSTS = {
    name: Config.model_fields[f"ARGON2_{name.upper()}"].default
    for name in ("memory_cost", "time_cost")
}
HASH = PasswordHasher(parallelism=1, **COSTS).hash(PASSWORD)
NUMBERS = count(100_000)

Pair = tuple[Served, Served]
Fields = dict[str, str]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    set_cookies: list[str]
    body: str


def send(
    where: Served | http.client.HTTPConnection,
    request: Request,
    secret: str | None = None,
    *,
    device: str | None = None,
    headers: Fields | None = None,
) -> Answer:
    """Send a request, in a session if there is a secret, from a device if there is one.

    Over a connection of its own, or over one that stays open.
    """
    if isinstance(where, Served):
        with closing(http.client.HTTPConnection("127.0.0.1", where.port, timeout=30)) as connection:
            return send(connection, request, secret, device=device, headers=headers)
    sent = {**(headers or {}), **request.headers(secret, device)}
    body = None
    if request.fields is not None:
        kind = "x-www-form-urlencoded" if request.by_page else "json"
        sent["Content-Type"] = f"application/{kind}"
        encode = urllib.parse.urlencode if request.by_page else json.dumps
        body = encode(request.fields)
    where.request(request.method, request.path, body, sent)
    response = where.getresponse()
    text = response.read().decode()
    found = {name.lower(): value for name, value in response.headers.items()}
    set_cookies = response.headers.get_all("Set-Cookie", [])
    return Answer(response.status, found, set_cookies, text)


def at_once(number: int, act: Callable[[int], Answer]) -> list[Answer]:
    """Do something several times in the same moment."""
    barrier = Barrier(number)

    def start(index: int) -> Answer:
        barrier.wait()
        return act(index)

    with ThreadPoolExecutor(number) as executor:
        return list(executor.map(start, range(number)))


def new_email() -> str:
    """Return an address that has no account; all are of one length."""
    return f"robin{next(NUMBERS)}@example.com"


@dataclass(frozen=True)
class Person:
    id: int
    email: str


async def make_people(
    env: dict[str, str], number: int, *, confirmed: bool = True, invited: bool = False
) -> list[Person]:
    async with transaction(env) as session:
        users = [
            User(
                email=new_email(),
                first_name="Robin",
                last_name="Example",
                password_hash=None if invited else HASH,
                confirmed=confirmed,
            )
            for _ in range(number)
        ]
        session.add_all(users)
        await session.flush()
        return [Person(user.id, user.email) for user in users]


async def make_person(
    env: dict[str, str], *, confirmed: bool = True, invited: bool = False
) -> Person:
    [person] = await make_people(env, 1, confirmed=confirmed, invited=invited)
    return person


async def make_credential(
    env: dict[str, str], person: Person, purpose: Purpose, email: str | None = None
) -> str:
    """Create an API token, a known device or a mailed link, and return its secret."""
    secret = new_api_token() if purpose is Purpose.TOKEN else new_secret()
    is_device = purpose is Purpose.DEVICE
    credential = Credential(
        purpose=purpose,
        digest=device_digest(secret, person.id) if is_device else digest(secret),
        user_id=person.id,
        email=email or person.email,
        expires_at=utcnow() + timedelta(minutes=20),
        scopes="read" if purpose is Purpose.TOKEN else None,
    )
    if purpose is Purpose.CONFIRM:  # belongs to the address alone
        credential.user_id, credential.pending = None, {"registration": str(person.id)}
    async with transaction(env) as session:
        session.add(credential)
    return secret


def begin_session(
    server: Served, person: Person, password: str = PASSWORD, *, remember: bool = False
) -> str:
    fields = {"email": person.email, "password": password, "remember_me": remember}
    answer = send(server, LOG_IN.request(fields, by_page=API))
    assert answer.status == 201, answer
    return session_in(answer.set_cookies, answer.body, by_page=API)


def use_link(server: Served, purpose: Purpose, secret: str, *, by_page: bool = False) -> Answer:
    """Use a link, with a new password or the present one, as it asks for."""
    return send(server, LINKS[purpose].use(secret, NEW, by_page=by_page, shown=PASSWORD))
