"""What ends credentials, over two server processes on one PostgreSQL and one Redis.

Revoked is revoked at once, in every process and for good, and a single-use secret is used once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest
from tests.accounts.surfaces import (
    API,
    CHANGE_PASSWORD,
    DELETE_ACCOUNT,
    END_OTHER_SESSIONS,
    END_SESSION,
    LINKS,
    LOG_OUT,
    PAGE,
    REGISTER,
    REQUEST_RESET,
    SET_UP,
    Flow,
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
from tests.faults.accounts.holders import (
    EVERYTHING,
    Holder,
    make_holder,
    session_works,
    what_works,
)
from tests.faults.conftest import transaction
from tests.processes import Served, manage

pytestmark = pytest.mark.faults

NAMES = {"first_name": "Robin", "last_name": "Example"}

# Each happens on one process, by page or by API; some return the session in place of this one.
Event = Callable[[Served, Holder, bool], str | None]


def log_out(server: Served, holder: Holder, by_page: bool) -> None:
    act(server, LOG_OUT, by_page, holder.this)


def end_others(server: Served, holder: Holder, by_page: bool) -> None:
    act(server, END_OTHER_SESSIONS, by_page, holder.this)


def end_one(server: Served, holder: Holder, by_page: bool) -> None:
    async def find() -> object:
        async with transaction(server.env) as session:
            secret = digest(holder.sessions["other"])
            query = select(Credential.id).where(Credential.digest == secret)
            return (await session.execute(query)).scalar_one()

    request = END_SESSION.request(by_page=by_page, id=asyncio.run(find()))
    accepted(send(server, request, holder.this))


def change_password(server: Served, holder: Holder, by_page: bool) -> str:
    return new_password(server, holder.this, PASSWORD, NEW, by_page)


def reset_password(server: Served, holder: Holder, by_page: bool) -> None:
    accepted(use_link(server, Purpose.RESET, holder.links[Purpose.RESET], by_page=by_page))


def change_email(server: Served, holder: Holder, by_page: bool) -> str:
    secret = holder.links[Purpose.CHANGE_EMAIL]
    request = LINKS[Purpose.CHANGE_EMAIL].use(secret, by_page=by_page)
    answer = accepted(send(server, request, holder.this))
    holder.email = holder.new_email
    return session_in(answer.set_cookies, answer.body, by_page=by_page)


def object_to_it(server: Served, holder: Holder, by_page: bool) -> None:
    accepted(use_link(server, Purpose.OBJECT, holder.links[Purpose.OBJECT], by_page=by_page))


def set_up(server: Served, holder: Holder, by_page: bool) -> None:
    secret = holder.links[Purpose.CONFIRM]
    accepted(send(server, SET_UP.use(secret, NEW, by_page=by_page, **NAMES)))


def delete(server: Served, holder: Holder, by_page: bool) -> None:
    act(server, DELETE_ACCOUNT, by_page, holder.this, password=PASSWORD)


def disable(server: Served, holder: Holder, by_page: bool) -> None:
    command(server, "disable-user", holder.person.email)


def create_admin(server: Served, holder: Holder, by_page: bool) -> None:
    command(server, "create-admin", holder.person.email, "--password-stdin", stdin=f"{NEW}\n")


# What undoes them, as far as anything does: everything is as it was, but for credentials.


def log_in_again(server: Served, holder: Holder) -> None:
    begin_session(server, holder.person)


def former_password(server: Served, holder: Holder) -> None:
    begun = begin_session(server, holder.person, NEW)
    begin_session(server, holder.person, NEW)
    new_password(server, begun, NEW, PASSWORD, API)
    begin_session(server, holder.person)


def former_address(server: Served, holder: Holder) -> None:
    use_new_link(server, holder.person, Purpose.CHANGE_EMAIL)
    holder.email = holder.person.email
    begin_session(server, holder.person)


def password_after_objection(server: Served, holder: Holder) -> None:
    use_new_link(server, holder.person, Purpose.RESET)
    former_password(server, holder)


def register_again(server: Served, holder: Holder) -> None:
    """The address has an account again, which is confirmed, with the same password."""
    fields = {**NAMES, "email": holder.person.email, "password": PASSWORD}
    act(server, REGISTER, API, **fields)
    begun = begin_session(server, holder.person)
    secret = asyncio.run(make_credential(server.env, holder.person, Purpose.CONFIRM))
    accepted(send(server, SET_UP.use(secret, PASSWORD, by_page=API, **NAMES)))
    assert not session_works(server, begun)
    begin_session(server, holder.person)


def stranger_again(server: Served, holder: Holder) -> None:
    """The owner deletes the account, and whoever registered the address before does it again."""
    begun = begin_session(server, holder.person, NEW)
    act(server, DELETE_ACCOUNT, API, begun, password=NEW)
    fields = {**NAMES, "email": holder.person.email, "password": PASSWORD}
    act(server, REGISTER, API, **fields)
    begin_session(server, holder.person)


def enable(server: Served, holder: Holder) -> None:
    command(server, "enable-user", holder.person.email)
    begin_session(server, holder.person)


def act(
    server: Served, flow: Flow, by_page: bool, secret: str | None = None, **fields: str
) -> None:
    request = flow.request(fields or None, by_page=by_page)
    accepted(send(server, request, secret))


def new_password(server: Served, secret: str, old: str, new: str, by_page: bool) -> str:
    fields = {"old_password": old, "new_password": new}
    answer = accepted(send(server, CHANGE_PASSWORD.request(fields, by_page=by_page), secret))
    return session_in(answer.set_cookies, answer.body, by_page=by_page)


def use_new_link(server: Served, person: Person, purpose: Purpose) -> None:
    secret = asyncio.run(make_credential(server.env, person, purpose))
    accepted(use_link(server, purpose, secret))


def command(server: Served, *arguments: str, stdin: str | None = None) -> None:
    process = manage(*arguments, env=server.env, stdin=stdin)
    assert process.returncode == 0, process.stderr


def accepted(answer: Answer) -> Answer:
    assert answer.status in (200, 201, 202, 204, 303), answer
    return answer


@dataclass(frozen=True)
class Case:
    """An event: what it ends, what undoes it, and whether the account is confirmed before."""

    event: Event
    ends: set[str]
    undo: Callable[[Served, Holder], None]
    confirmed: bool = True
    is_command: bool = False

    def __str__(self) -> str:
        return f"{self.event.__name__}{'' if self.confirmed else ', unconfirmed'}"


OTHERS = {"other", "remembered"}
# Whoever reads the previous address's mail can revert a change whatever else has happened: see
# `service.REVOCABLE`. A known device is no more than that: it logs nobody in.
BY_PASSWORD = EVERYTHING - {"object", "device"}
# What confirms an address is the mailbox's, not an account's that nobody has proved.
UNPROVED = EVERYTHING - {"confirm"}

CASES = [
    Case(log_out, {"this"}, log_in_again),
    Case(end_others, OTHERS | {"device"}, log_in_again),
    Case(end_one, {"other"}, log_in_again),
    Case(change_password, BY_PASSWORD, former_password),
    Case(change_password, BY_PASSWORD - {"confirm"}, former_password, confirmed=False),
    Case(reset_password, BY_PASSWORD, former_password),
    Case(change_email, BY_PASSWORD - {"token"}, former_address),
    Case(change_email, BY_PASSWORD - {"token", "confirm"}, former_address, confirmed=False),
    Case(object_to_it, EVERYTHING, password_after_objection),
    Case(set_up, EVERYTHING, stranger_again, confirmed=False),
    Case(delete, EVERYTHING, register_again),
    Case(delete, UNPROVED, register_again, confirmed=False),
    Case(disable, EVERYTHING, enable, is_command=True),
    Case(disable, EVERYTHING, enable, confirmed=False, is_command=True),
    Case(create_admin, EVERYTHING, former_password, is_command=True),
    Case(create_admin, EVERYTHING, former_password, confirmed=False, is_command=True),
]


@pytest.mark.parametrize(
    ("case", "by_page"),
    [
        (case, by_page)
        for case in CASES
        for by_page in (API, PAGE)
        if not (case.is_command and by_page)
    ],
    ids=lambda value: str(value) if isinstance(value, Case) else ("page" if value else "api"),
)
async def test_what_an_event_ends_is_refused_at_once_by_the_other_process_and_for_good(
    env: dict[str, str], pair: Pair, case: Case, by_page: bool
) -> None:
    holder = await make_holder(env, pair, confirmed=case.confirmed)
    here, there = pair
    for server in pair:  # both have seen all of it by now
        assert await asyncio.to_thread(what_works, server, holder) == holder.at_first
    renewed = await asyncio.to_thread(case.event, here, holder, by_page)
    assert await asyncio.to_thread(what_works, there, holder) == holder.at_first - case.ends
    if renewed:
        assert session_works(there, renewed)
    await asyncio.to_thread(case.undo, here, holder)
    for server in pair:
        assert not case.ends & await asyncio.to_thread(what_works, server, holder)


async def test_nobody_elses_request_deletes_a_disabled_account(
    env: dict[str, str], pair: Pair
) -> None:
    """Not even one that nobody has confirmed, whose address somebody else proves to be theirs."""
    here, there = pair
    disabled = await make_person(env, confirmed=False)
    former = await make_credential(env, disabled, Purpose.CONFIRM)
    await asyncio.to_thread(command, here, "disable-user", disabled.email)
    later = await make_credential(env, disabled, Purpose.CONFIRM)
    other = await make_person(env)
    session = begin_session(here, other)
    moving = await make_credential(env, other, Purpose.CHANGE_EMAIL, disabled.email)
    reverting = await make_credential(env, other, Purpose.OBJECT, disabled.email)
    fields = {**NAMES, "email": disabled.email, "password": NEW}
    for by_page in (API, PAGE):
        for server in pair:
            for secret in (former, later):
                assert use_link(server, Purpose.CONFIRM, secret, by_page=by_page).status == 410
                request = SET_UP.use(secret, NEW, by_page=by_page, **NAMES)
                assert send(server, request).status == 410
            act(server, REGISTER, by_page, **fields)
            act(server, REQUEST_RESET, by_page, email=disabled.email)
            move = LINKS[Purpose.CHANGE_EMAIL].use(moving, by_page=by_page)
            assert send(server, move, session).status == 409
            assert use_link(server, Purpose.OBJECT, reverting, by_page=by_page).status == 409
    user = await stored(env, disabled)
    assert user.disabled_at is not None
    assert not user.confirmed
    assert (await stored(env, other)).email == other.email
    await asyncio.to_thread(command, here, "enable-user", disabled.email)
    begin_session(there, disabled)


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
    # Whose account it is, is shown by a session, since a password could be typed five times only.
    session = begin_session(pair[0], person) if LINKS[purpose].shown else None

    def use(number: int) -> Answer:
        """Use it half of the times here, half there; half by API, half by page."""
        request = LINKS[purpose].use(secret, f"{NEW} {number}", by_page=number % 4 >= 2)
        return send(pair[number % 2], request, session)

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
        async with transaction(env) as connection:
            mine = (Credential.user_id == person.id, Credential.purpose == Purpose.RESET)
            assert (await connection.execute(select(func.count()).where(*mine))).scalar_one() == 1


async def stored(env: dict[str, str], person: Person) -> User:
    async with transaction(env) as session:
        return await session.get_one(User, person.id)
