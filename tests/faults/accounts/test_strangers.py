"""What strangers can make too often, and that the owner of an account gets in all the same.

Two servers behind a proxy, a worker and a mail server, with the limits as they are by default.
"""

import json
import re
from collections.abc import AsyncIterator
from itertools import count

import pytest
from sqlalchemy import update

from app.auth.models import Purpose, User
from app.database import utcnow
from tests.accounts.surfaces import (
    API,
    CHANGE_PASSWORD,
    DELETE_ACCOUNT,
    LINKS,
    LOG_IN,
    PAGE,
    REAUTHENTICATE,
    REGISTER,
    REQUEST_EMAIL_CHANGE,
    REQUEST_RESET,
    RESEND_CONFIRMATION,
    SEE_ACCOUNT,
    Flow,
    Request,
    session_in,
)
from tests.conftest import create_database
from tests.factories.people import PASSWORD
from tests.faults.accounts.deployed import (
    NEW,
    WRONG,
    Answer,
    Fields,
    Person,
    make_person,
    new_email,
)
from tests.faults.accounts.site import Site, Visitor, link_in, site
from tests.faults.conftest import set_up, transaction

pytestmark = pytest.mark.faults

BOTH = pytest.mark.parametrize("by_page", [API, PAGE], ids=["api", "page"])
IPS = count(1)
NAME = {"first_name": "Robin", "last_name": "Example"}
GUESSING = "Somebody is guessing at your password"
SET_UP = Flow("POST /account/set-up/{token}", "POST /api/v1/account/set-up", "password")


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("strangers")
    env = set_up(await create_database(f"test_strangers_{worker_number}"), folder)
    with site(env, folder) as running:
        yield running


def somebody(town: Site) -> Visitor:
    """Return a browser at an ip that nobody else has."""
    number = next(IPS)
    return Visitor(town, f"198.51.{number // 250}.{number % 250 + 1}")


def log_in(visitor: Visitor, email: str, password: str = PASSWORD, *, by_page: bool) -> Answer:
    return visitor.send(LOG_IN.request({"email": email, "password": password}, by_page=by_page))


def accepted(answer: Answer) -> Answer:
    """Check that an answer is a success."""
    assert answer.status in (200, 201, 202, 204, 303), answer
    return answer


def guess(town: Site, email: str) -> list[int]:
    """Try 50 wrong passwords from ten ips, and then one more from an eleventh."""
    strangers = [somebody(town) for _ in range(11)]
    return [
        log_in(stranger, email, f"{WRONG} {number}", by_page=API).status
        for stranger in strangers[:10]
        for number in range(5)
    ] + [log_in(strangers[10], email, WRONG, by_page=API).status]


@BOTH
async def test_wrong_passwords_of_strangers_do_not_lock_the_owner_out(
    town: Site, by_page: bool
) -> None:
    owner = await make_person(town.env)
    known = somebody(town)
    accepted(log_in(known, owner.email, by_page=PAGE))
    known.cookies = {name: c for name, c in known.cookies.items() if name.startswith("device")}
    assert guess(town, owner.email) == [401] * 50 + [429]

    known.ip = somebody(town).ip  # it moves about
    accepted(log_in(known, owner.email, by_page=by_page))
    new = somebody(town)
    refused = log_in(new, owner.email, by_page=by_page)
    assert refused.status == 429
    assert re.search("reset (your|the) password .*in this browser", refused.body)
    assert int(refused.headers["retry-after"]) > 0

    accepted(new.send(REQUEST_RESET.request({"email": owner.email}, by_page=by_page)))
    secret = link_in((await town.mails(owner.email, "Reset your password"))[-1])
    accepted(new.send(LINKS[Purpose.RESET].use(secret, NEW, by_page=by_page)))
    accepted(log_in(new, owner.email, NEW, by_page=by_page))
    accepted(log_in(somebody(town), owner.email, NEW, by_page=by_page))
    # Strangers go on: this browser is a known device now.
    guess(town, owner.email)
    new.cookies = {name: c for name, c in new.cookies.items() if name.startswith("device")}
    accepted(log_in(new, owner.email, NEW, by_page=by_page))


async def test_a_cookie_of_ones_own_making_is_no_known_device(town: Site) -> None:
    owner, stranger = await make_person(town.env), await make_person(town.env)
    liar = somebody(town)
    accepted(log_in(liar, stranger.email, by_page=PAGE))  # known, but to another account
    del liar.cookies["session_testing"]
    guess(town, owner.email)
    assert log_in(liar, owner.email, by_page=API).status == 429
    liar.cookies["device_testing"] = "x" * 43
    assert log_in(liar, owner.email, by_page=API).status == 429


async def test_a_known_device_has_a_limit_of_its_own(town: Site) -> None:
    owner = await make_person(town.env)
    thief = somebody(town)
    accepted(log_in(thief, owner.email, by_page=PAGE))
    del thief.cookies["session_testing"]
    statuses = []
    for _ in range(7):
        thief.ip = somebody(town).ip
        statuses.append(log_in(thief, owner.email, WRONG, by_page=API).status)
    assert statuses == [401] * 5 + [429] * 2
    accepted(log_in(somebody(town), owner.email, by_page=API))


@BOTH
@pytest.mark.parametrize("confirmed", [True, False], ids=["confirmed", "unconfirmed"])
async def test_who_is_signed_in_acts_from_anywhere_while_strangers_guess(
    town: Site, by_page: bool, confirmed: bool
) -> None:
    owner = await make_person(town.env, confirmed=confirmed)
    there = somebody(town)
    answer = accepted(log_in(there, owner.email, by_page=by_page))
    secret = session_in(answer.set_cookies, answer.body, by_page=by_page)
    guess(town, owner.email)

    def here(flow: Flow, fields: Fields) -> Answer:
        """Send from another network, with the session and nothing else."""
        nonlocal secret
        answer = somebody(town).send(flow.request(fields, by_page=by_page), secret)
        assert answer.status in (200, 201, 202, 204, 303), (flow, answer)
        if flow is CHANGE_PASSWORD:
            secret = session_in(answer.set_cookies, answer.body, by_page=by_page)
        return answer

    here(REAUTHENTICATE, {"password": PASSWORD})
    here(CHANGE_PASSWORD, {"old_password": PASSWORD, "new_password": NEW})
    here(REQUEST_EMAIL_CHANGE, {"email": new_email(), "password": NEW})
    here(DELETE_ACCOUNT, {"password": NEW})


async def test_two_sessions_do_not_use_up_each_others_guesses(town: Site) -> None:
    owner = await make_person(town.env)
    stolen, own = (
        session_in([], accepted(log_in(somebody(town), owner.email, by_page=API)).body, by_page=API)
        for _ in range(2)
    )
    wrong = REAUTHENTICATE.request({"password": WRONG}, by_page=API)
    assert [somebody(town).send(wrong, stolen).status for _ in range(6)] == [403] * 5 + [429]
    right = REAUTHENTICATE.request({"password": PASSWORD}, by_page=API)
    accepted(somebody(town).send(right, own))


@BOTH
@pytest.mark.parametrize("number", [3, 30])
async def test_requests_for_a_reset_by_strangers_leave_the_owner_a_link(
    town: Site, number: int, by_page: bool
) -> None:
    owner = await make_person(town.env)
    request = REQUEST_RESET.request({"email": owner.email}, by_page=by_page)
    for _ in range(number):
        accepted(somebody(town).send(request))
    await town.settle()
    browser = somebody(town)
    assert browser.send(request).status == (303 if by_page else 202)
    mails = await town.mails(owner.email, "Reset your password")
    assert 3 <= len(mails) <= 4, "the limit on mails holds, but for what ran at the same time"
    accepted(browser.send(LINKS[Purpose.RESET].use(link_in(mails[-1]), NEW, by_page=by_page)))
    accepted(log_in(browser, owner.email, NEW, by_page=by_page))
    # And the next time as well.
    accepted(browser.send(REQUEST_RESET.request({"email": owner.email}, by_page=API)))
    assert len(await town.mails(owner.email, "Reset your password")) == len(mails) + 1


@BOTH
@pytest.mark.parametrize("number", [3, 30])
async def test_registrations_by_strangers_leave_the_owner_a_link(
    town: Site, number: int, by_page: bool
) -> None:
    email = new_email()
    for _ in range(number):
        fields = {"email": email, "password": f"{PASSWORD} {number}", **NAME}
        accepted(somebody(town).send(REGISTER.request(fields, by_page=by_page)))
    await town.settle()
    browser = somebody(town)
    own = REGISTER.request({"email": email, "password": NEW, **NAME}, by_page=by_page)
    assert browser.send(own).status == (303 if by_page else 202)
    mails = await town.mails(email)
    assert min(number + 1, 10) <= len(mails) <= 12
    fields = {"password": NEW, **NAME}
    link = link_in(mails[-1])
    if not by_page:
        fields["token"] = link
    accepted(browser.send(SET_UP.request(fields, by_page=by_page, token=link)))
    accepted(log_in(somebody(town), email, NEW, by_page=by_page))


async def test_the_owner_who_registered_first_confirms_whatever_strangers_ask_for(
    town: Site,
) -> None:
    email, browser = new_email(), somebody(town)
    own = {"email": email, "password": NEW, **NAME}
    accepted(browser.send(REGISTER.request(own, by_page=PAGE)))
    for _ in range(30):
        other = REGISTER.request(own | {"password": f"{PASSWORD} again"}, by_page=API)
        accepted(somebody(town).send(other))
        accepted(somebody(town).send(REQUEST_RESET.request({"email": email}, by_page=API)))
    [first] = await town.mails(email, "Confirm your account")
    accepted(log_in(browser, email, NEW, by_page=PAGE))
    accepted(browser.send(RESEND_CONFIRMATION.request(by_page=PAGE)))
    await town.settle()
    use = LINKS[Purpose.CONFIRM].use(link_in(first), by_page=PAGE)
    assert browser.send(use).headers["location"] == "/"
    assert browser.send(SEE_ACCOUNT.request(by_page=PAGE)).status == 200
    accepted(log_in(somebody(town), email, NEW, by_page=API))


async def test_changes_of_address_by_strangers_do_not_keep_the_owner_from_one(town: Site) -> None:
    wanted, owner = new_email(), await make_person(town.env)
    for _ in range(10):
        stranger = await make_person(town.env)
        session = session_in(
            [], accepted(log_in(somebody(town), stranger.email, by_page=API)).body, by_page=API
        )
        request = REQUEST_EMAIL_CHANGE.request({"email": wanted, "password": PASSWORD}, by_page=API)
        for _ in range(3):
            accepted(somebody(town).send(request, session))
    await town.settle()
    before = len(town.post.mails_to(wanted))
    browser = somebody(town)
    accepted(log_in(browser, owner.email, by_page=PAGE))
    ask = REQUEST_EMAIL_CHANGE.request({"email": wanted, "password": PASSWORD}, by_page=PAGE)
    accepted(browser.send(ask))
    mails = await town.mails(wanted)
    assert len(mails) == before + 1
    use = LINKS[Purpose.CHANGE_EMAIL].use(link_in(mails[-1]), by_page=PAGE)
    accepted(browser.send(use))
    accepted(log_in(somebody(town), wanted, by_page=API))


async def test_strangers_who_want_the_owners_address_stop_nothing_and_send_few_mails(
    town: Site,
) -> None:
    owner = await make_person(town.env)
    for _ in range(8):
        stranger = await make_person(town.env)
        session = session_in(
            [], accepted(log_in(somebody(town), stranger.email, by_page=API)).body, by_page=API
        )
        fields = {"email": owner.email, "password": PASSWORD}
        for _ in range(3):
            request = REQUEST_EMAIL_CHANGE.request(fields, by_page=API)
            accepted(somebody(town).send(request, session))
        register = {"email": owner.email, "password": NEW, **NAME}
        accepted(somebody(town).send(REGISTER.request(register, by_page=API)))
    # Of 32 at most ten of each kind, but for what ran at the same time.
    assert 5 <= len(await town.mails(owner.email, "You already have an account")) <= 24
    browser = somebody(town)
    accepted(browser.send(REQUEST_RESET.request({"email": owner.email}, by_page=API)))
    [mail] = await town.mails(owner.email, "Reset your password")
    accepted(browser.send(LINKS[Purpose.RESET].use(link_in(mail), NEW, by_page=API)))
    accepted(log_in(browser, owner.email, NEW, by_page=API))


async def test_an_invitation_works_whatever_strangers_ask_for(town: Site) -> None:
    guest = await make_person(town.env, confirmed=False, invited=True)
    for _ in range(15):
        register = {"email": guest.email, "password": NEW, **NAME}
        accepted(somebody(town).send(REGISTER.request(register, by_page=API)))
        accepted(somebody(town).send(REQUEST_RESET.request({"email": guest.email}, by_page=API)))
    mails = await town.mails(guest.email)
    assert len(mails) <= 12
    browser = somebody(town)
    accepted(browser.send(LINKS[Purpose.INVITE].use(link_in(mails[-1]), NEW, by_page=PAGE)))
    accepted(log_in(browser, guest.email, NEW, by_page=PAGE))


async def disable(town: Site, person: Person) -> None:
    async with transaction(town.env) as session:
        disabled = update(User).where(User.id == person.id)
        await session.execute(disabled.values(disabled_at=utcnow()))


async def test_who_is_guessed_at_gets_one_mail_a_day_and_nobody_else_any(town: Site) -> None:
    owner = await make_person(town.env)
    unconfirmed = await make_person(town.env, confirmed=False)
    await disable(town, disabled := await make_person(town.env))
    emails = [owner.email, unconfirmed.email, disabled.email, new_email()]
    answers = []
    for email in emails:
        assert guess(town, email) == [401] * 50 + [429]
        refused = [log_in(somebody(town), email, WRONG, by_page=API) for _ in range(5)]
        said = [json.loads(answer.body) for answer in refused]
        answers.append({(each["title"], each["detail"]) for each in said})
    assert answers == [answers[0]] * 4
    await town.settle()
    assert [len(town.post.mails_to(email)) for email in emails] == [1, 0, 0, 0]
    [mail] = town.post.mails_to(owner.email, GUESSING)
    assert "Hello Robin," in mail
    assert "/account/reset-password" in mail


async def test_while_mail_is_not_taken_the_requests_of_strangers_are_no_links_in_the_mailbox(
    town: Site,
) -> None:
    owner = await make_person(town.env)
    request = REQUEST_RESET.request({"email": owner.email}, by_page=API)
    town.post.answers = ["450 later"] * 6
    for _ in range(3):
        accepted(somebody(town).send(request))
    assert len(await town.mails(owner.email)) == 3, "they were tried again"
    for mail in town.post.mails_to(owner.email):
        shown = Request("GET", f"/account/reset-password/{link_in(mail)}", PAGE)
        assert somebody(town).send(shown).status == 200
