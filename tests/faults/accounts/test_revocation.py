"""What ends credentials, over two server processes on one PostgreSQL and one Redis.

Revoked is revoked at once and in every process, and a single-use secret is used once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from app.auth.models import Credential, Purpose, User
from app.database import utcnow
from tests.accounts.surfaces import (
    API,
    CHANGE_PASSWORD,
    DELETE_ACCOUNT,
    END_OTHER_SESSIONS,
    LINKS,
    LOG_OUT,
    PAGE,
    SEE_ACCOUNT,
    session_in,
)
from tests.factories.people import PASSWORD
from tests.faults.accounts.deployed import (
    NEW,
    Answer,
    Pair,
    Person,
    at_once,
    begin_session,
    make_credential,
    make_person,
    new_email,
    send,
    use_link,
)
from tests.faults.conftest import transaction
from tests.processes import Served

pytestmark = pytest.mark.faults


@dataclass
class Holder:
    """Somebody with one of everything."""

    person: Person
    this: str
    other: str
    token: str
    links: dict[Purpose, str]


async def make_holder(env: dict[str, str], pair: Pair) -> Holder:
    """Create a holder whose address is not confirmed, since else no link would confirm it."""
    person = await make_person(env, confirmed=False)
    links = {
        purpose: await make_credential(
            env, person, purpose, new_email() if purpose is Purpose.CHANGE_EMAIL else None
        )
        for purpose in LINKS
    }
    token = await make_credential(env, person, Purpose.TOKEN)
    return Holder(
        person, begin_session(pair[0], person), begin_session(pair[1], person), token, links
    )


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


def what_works(server: Served, holder: Holder) -> set[str]:
    found = {
        purpose.value
        for purpose, secret in holder.links.items()
        if link_works(server, purpose, secret)
    }
    found |= {name for name in ("this", "other") if session_works(server, getattr(holder, name))}
    return found | ({"token"} if token_works(server, holder.token) else set())


# Each happens on one process, by page or by API; some return the session in place of this one.
Event = Callable[[Served, Holder, bool], str | None]


def log_out(server: Served, holder: Holder, by_page: bool) -> None:
    accepted(send(server, LOG_OUT.request(by_page=by_page), holder.this))


def change_password(server: Served, holder: Holder, by_page: bool) -> str:
    fields = {"old_password": PASSWORD, "new_password": NEW}
    answer = send(server, CHANGE_PASSWORD.request(fields, by_page=by_page), holder.this)
    return session_in(answer.set_cookies, accepted(answer).body, by_page=by_page)


def reset_password(server: Served, holder: Holder, by_page: bool) -> None:
    accepted(use_link(server, Purpose.RESET, holder.links[Purpose.RESET], by_page=by_page))


def change_email(server: Served, holder: Holder, by_page: bool) -> str:
    secret = holder.links[Purpose.CHANGE_EMAIL]
    request = LINKS[Purpose.CHANGE_EMAIL].use(secret, by_page=by_page)
    answer = send(server, request, holder.this)
    return session_in(answer.set_cookies, accepted(answer).body, by_page=by_page)


def delete(server: Served, holder: Holder, by_page: bool) -> None:
    request = DELETE_ACCOUNT.request({"password": PASSWORD}, by_page=by_page)
    accepted(send(server, request, holder.this))


def disable(server: Served, holder: Holder, by_page: bool) -> None:
    async def mark() -> None:
        async with transaction(server.env) as session:
            mine = update(User).where(User.id == holder.person.id)
            await session.execute(mine.values(disabled_at=utcnow()))

    asyncio.run(mark())


def accepted(answer: Answer) -> Answer:
    assert answer.status in (200, 204, 303), answer
    return answer


def case_name(value: Event | bool) -> str:
    if isinstance(value, bool):
        return "page" if value else "api"
    return value.__name__


MAILED = {purpose.value for purpose in LINKS}
# Whoever reads the previous address's mail can revert a change whatever else has happened: see
# `service.REVOCABLE`.
REVERT = {Purpose.OBJECT.value}

GOES_ON: dict[Event, set[str]] = {
    log_out: {"other", "token"} | MAILED,
    change_password: REVERT,
    reset_password: REVERT,
    change_email: {"token"} | REVERT,
    disable: set(),
    delete: set(),
}
# Accounts are disabled in the database alone so far, by no page.
CASES = [
    (event, by_page)
    for event in GOES_ON
    for by_page in (API, PAGE)
    if (event, by_page) != (disable, PAGE)
]
BOTH = pytest.mark.parametrize("by_page", [API, PAGE], ids=["api", "page"])


@pytest.mark.parametrize(("event", "by_page"), CASES, ids=case_name)
async def test_what_an_event_ends_is_refused_at_once_by_the_other_process_and_the_rest_goes_on(
    env: dict[str, str], pair: Pair, event: Event, by_page: bool
) -> None:
    holder, goes_on = await make_holder(env, pair), GOES_ON[event]
    here, there = pair
    for server in pair:  # both have seen all of it by now
        assert (
            await asyncio.to_thread(what_works, server, holder)
            == {"this", "other", "token"} | MAILED
        )
    renewed = await asyncio.to_thread(event, here, holder, by_page)
    assert await asyncio.to_thread(what_works, there, holder) == goes_on
    if renewed:
        assert session_works(there, renewed)
    if Purpose.CONFIRM in goes_on:
        assert use_link(there, Purpose.CONFIRM, holder.links[Purpose.CONFIRM]).status == 204
    if goes_on:
        assert use_link(there, Purpose.OBJECT, holder.links[Purpose.OBJECT]).status == 200


@BOTH
async def test_a_session_that_is_ended_from_another_one_is_refused_at_once_by_the_other_process(
    env: dict[str, str], pair: Pair, by_page: bool
) -> None:
    holder = await make_holder(env, pair)
    here, there = pair
    assert session_works(there, holder.other)
    accepted(send(here, END_OTHER_SESSIONS.request(by_page=by_page), holder.this))
    assert what_works(there, holder) == {"this", "token"} | MAILED


@pytest.mark.parametrize("purpose", LINKS)
async def test_of_20_parallel_uses_of_a_link_over_two_processes_one_wins(
    env: dict[str, str], pair: Pair, purpose: Purpose
) -> None:
    invited = purpose is Purpose.INVITE
    person = await make_person(
        env, confirmed=purpose not in (Purpose.CONFIRM, Purpose.INVITE), invited=invited
    )
    new = new_email() if purpose is Purpose.CHANGE_EMAIL else person.email
    secret = await make_credential(env, person, purpose, new)

    def use(number: int) -> Answer:
        """Use it half of the times here, half there; half by API, half by page."""
        request = LINKS[purpose].use(secret, f"{NEW} {number}", by_page=number % 4 >= 2)
        return send(pair[number % 2], request)

    answers = await asyncio.to_thread(at_once, 20, use)
    won = [number for number, answer in enumerate(answers) if answer.status in (200, 204, 303)]
    assert len(won) == 1, Counter(answer.status for answer in answers)
    assert Counter(answer.status for answer in answers)[410] == 19
    user = await stored(env, person)
    assert (user.email, user.confirmed) == (new, True)
    if LINKS[purpose].password:
        assert PasswordHasher().verify(str(user.password_hash), f"{NEW} {won[0]}"), (
            "the winner's password counts"
        )
    if purpose is Purpose.OBJECT:
        async with transaction(env) as session:
            mine = (Credential.user_id == person.id, Credential.purpose == Purpose.RESET)
            assert (await session.execute(select(func.count()).where(*mine))).scalar_one() == 1


async def stored(env: dict[str, str], person: Person) -> User:
    async with transaction(env) as session:
        return await session.get_one(User, person.id)
