"""Somebody with one credential of every kind, and which of them work."""

from contextlib import closing
from dataclasses import dataclass

from redis import Redis

from app.auth.models import Purpose
from tests.accounts.surfaces import API, LINKS, LOG_IN, PAGE, SEE_ACCOUNT
from tests.faults.accounts.deployed import (
    WRONG,
    Pair,
    Person,
    begin_session,
    make_credential,
    make_person,
    new_email,
    send,
    use_link,
)
from tests.processes import Served

SESSIONS = {"this", "other", "remembered"}
MAILED = {purpose.value for purpose in LINKS}
EVERYTHING = SESSIONS | MAILED | {"token", "device"}


@dataclass
class Holder:
    """Somebody with one of everything.

    `email` is their address by now, `new_email` the one that they have asked for.
    """

    person: Person
    email: str
    sessions: dict[str, str]
    token: str
    device: str
    links: dict[Purpose, str]
    new_email: str
    is_confirmed: bool

    @property
    def this(self) -> str:
        return self.sessions["this"]

    @property
    def at_first(self) -> set[str]:
        """All that they have; a link that confirms an address does nothing once it is confirmed."""
        return EVERYTHING - ({Purpose.CONFIRM.value} if self.is_confirmed else set())


async def make_holder(env: dict[str, str], pair: Pair, *, confirmed: bool = True) -> Holder:
    person = await make_person(env, confirmed=confirmed)
    moving = new_email()
    links = {
        purpose: await make_credential(
            env, person, purpose, moving if purpose is Purpose.CHANGE_EMAIL else None
        )
        for purpose in LINKS
    }
    sessions = {
        "this": begin_session(pair[0], person),
        "other": begin_session(pair[1], person),
        "remembered": begin_session(pair[0], person, remember=True),
    }
    token = await make_credential(env, person, Purpose.TOKEN)
    device = await make_credential(env, person, Purpose.DEVICE)
    return Holder(person, person.email, sessions, token, device, links, moving, confirmed)


def what_works(server: Served, holder: Holder) -> set[str]:
    """Return the kinds of credentials that a process still takes."""
    found = {
        purpose.value
        for purpose, secret in holder.links.items()
        if link_works(server, purpose, secret)
    }
    found |= {name for name, secret in holder.sessions.items() if session_works(server, secret)}
    if token_works(server, holder.token):
        found.add("token")
    if device_works(server, holder):
        found.add("device")
    return found


def session_works(server: Served, secret: str) -> bool:
    """Return whether a session works, as a program's token and as a browser's cookie alike."""
    program, page = (
        send(server, SEE_ACCOUNT.request(by_page=by_page), secret) for by_page in (API, PAGE)
    )
    if (program.status, page.status) == (200, 200):
        return True
    assert (program.status, page.status) == (401, 303)
    assert page.headers["location"].startswith("/account/login")
    return False


def token_works(server: Served, secret: str) -> bool:
    status = send(server, SEE_ACCOUNT.request(by_page=API), secret).status
    assert status in (200, 401)
    return status == 200


def link_works(server: Served, purpose: Purpose, secret: str) -> bool:
    """Return whether a link's page is shown; if not, neither its button nor the API may work."""
    if (shown := send(server, LINKS[purpose].show(secret)).status) == 200:
        return True
    used = [use_link(server, purpose, secret, by_page=by_page).status for by_page in (API, PAGE)]
    assert [shown, *used] == [410, 410, 410], purpose
    return False


def device_works(server: Served, holder: Holder) -> bool:
    """Return whether a device passes where strangers have guessed too often.

    Fills the limit of guesses for an unknown device of this ip first, and empties it after.
    """
    guess = LOG_IN.request({"email": holder.email, "password": WRONG}, by_page=API)
    statuses = {send(server, guess).status for _ in range(6)}
    assert statuses <= {401, 429}
    assert 429 in statuses
    status = send(server, guess, device=holder.device).status
    assert status in (401, 429)
    with closing(Redis.from_url(server.env["REDIS_URL"])) as redis:
        redis.flushdb()
    return status == 401
