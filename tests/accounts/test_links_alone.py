"""A link proves a mailbox: whose account it is, is shown by a session, a browser or a password.

A change of address that a stranger asks for, objections, tokens, and known devices of others.
"""

import pytest
from quart import Quart
from sqlalchemy import select

from app.accounts import service
from app.auth.models import Credential, Purpose, User
from app.database import db
from tests.accounts.parties import (
    ADDRESS,
    DONE,
    Party,
    links_to,
    owner_of,
    stranger_to,
    users,
)
from tests.accounts.surfaces import (
    API,
    DELETE_ACCOUNT,
    LINKS,
    PAGE,
    REQUEST_RESET,
)
from tests.factories.tokens import bearer, make_token
from tests.mail.captured import link_in, mails, newest, token_of

CONFIRM, MOVE = "Confirm your account", "Confirm your new email"
NOTICE, LOST = "Your email address is about to change", "Your address is no longer used here"
BOTH = pytest.mark.parametrize("by_page", [PAGE, API], ids=["page", "API"])


async def use(
    party: Party, purpose: Purpose, link: str, *, by_page: bool, shown: str = "", **headers: str
) -> int:
    request = LINKS[purpose].use(token_of(link), party.password, by_page=by_page, shown=shown)
    return (await party.send(request, **headers)).status_code


async def join(party: Party) -> None:
    """Register the party's own address, and confirm it."""
    await party.register(party.email, by_page=API)
    [link] = await links_to(party, CONFIRM)
    assert await use(party, Purpose.CONFIRM, link, by_page=API) == 200
    assert await party.account() == (party.email, party.names["first_name"], True)


async def token_for(email: str) -> dict[str, str]:
    """Return the header with an API token of an account."""
    async with db.session() as session:
        user = await service.find_user(session, email)
    assert user is not None
    return bearer(await make_token(user.id))


@BOTH
async def test_pressing_moves_no_strangers_account_to_ones_address(
    app: Quart, by_page: bool
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await join(stranger)
    await stranger.move(ADDRESS, by_page=by_page)
    [link] = await links_to(owner, MOVE)
    for shown in ("", owner.password):
        assert await use(owner, Purpose.CHANGE_EMAIL, link, by_page=by_page, shown=shown) == 403
    # Not from another account of the owner's either, in a session or with a token.
    other = owner_of(app)
    other.email = "olive@work.example"
    await join(other)
    for headers in ({}, await token_for(other.email)):
        status = await use(other, Purpose.CHANGE_EMAIL, link, by_page=by_page, **headers)
        assert status == 403
    assert await other.account() == (other.email, "Olive", True)
    # The address is free for the owner, and the stranger's link ends with that.
    await owner.register(by_page=by_page)
    [mine] = await links_to(owner, CONFIRM)
    assert await use(owner, Purpose.CONFIRM, mine, by_page=by_page) in DONE
    shown = stranger.password
    assert await use(stranger, Purpose.CHANGE_EMAIL, link, by_page=by_page, shown=shown) == 409
    [objection] = await links_to(stranger, NOTICE)
    assert await use(stranger, Purpose.OBJECT, objection, by_page=by_page) in DONE
    assert await owner.account() == (ADDRESS, "Olive", True), "it concerns the stranger's alone"
    assert len(await users()) == 3


@BOTH
async def test_a_password_that_is_reset_ends_a_change_that_a_thief_asked_for(
    app: Quart, by_page: bool
) -> None:
    owner, thief = owner_of(app), stranger_to(app)
    await join(owner)
    thief.password = owner.password
    assert await thief.log_in() == 201
    await thief.move(thief.email, by_page=by_page)
    [link] = await links_to(thief, MOVE)
    await thief.move("second@example.com", by_page=by_page)  # its mail is still to be sent
    owner.browser.delete_cookie("localhost", "session_testing")
    await owner.do(REQUEST_RESET, by_page=by_page, email=ADDRESS)
    reset = link_in(await newest(owner.browser, "Reset your password"))
    owner.password = "nine green lanterns hum"
    assert await use(owner, Purpose.RESET, reset, by_page=by_page) in DONE
    shown = owner.password
    assert await use(thief, Purpose.CHANGE_EMAIL, link, by_page=by_page, shown=shown) == 410
    assert await thief.account() is None
    assert await owner.log_in() == 201


@BOTH
async def test_whoever_loses_an_address_by_an_objection_is_told_there(
    app: Quart, by_page: bool
) -> None:
    """An account that was handed over, say: its former owner takes it back within the week."""
    owner, former = owner_of(app), stranger_to(app)
    await join(former)
    await former.move(ADDRESS, by_page=by_page)
    [link], [objection] = await links_to(owner, MOVE), await links_to(former, NOTICE)
    owner.password = former.password
    status = await use(owner, Purpose.CHANGE_EMAIL, link, by_page=by_page, shown=former.password)
    assert status in DONE
    assert await owner.account() == (ADDRESS, "Mallory", True)
    page = await (await former.browser.get(objection)).get_data(as_text=True)
    assert ADDRESS in page, "it says who loses the account"
    assert former.email in page
    assert await use(former, Purpose.OBJECT, objection, by_page=by_page) in DONE
    assert await owner.account() is None
    mail = await newest(owner.browser, LOST)
    assert mail["to"] == [ADDRESS]
    assert not [w for w in (former.email, "Mallory", ADDRESS) if w in mail["text"] + mail["html"]]
    assert len(await users()) == 1


async def test_an_objection_in_time_tells_nobody_and_its_page_says_so(app: Quart) -> None:
    owner, former = owner_of(app), stranger_to(app)
    await join(former)
    await former.move(ADDRESS, by_page=API)
    [objection] = await links_to(former, NOTICE)
    page = await (await former.browser.get(objection)).get_data(as_text=True)
    assert former.email in page
    assert ADDRESS not in page
    assert await use(former, Purpose.OBJECT, objection, by_page=API) == 200
    assert [m["subject"] for m in await mails(owner.browser) if LOST in m["subject"]] == []


@BOTH
@pytest.mark.parametrize("state", ["unconfirmed", "disabled", "confirmed"])
async def test_an_objection_takes_an_address_from_nobody_who_proved_it_or_is_disabled(
    app: Quart, by_page: bool, state: str
) -> None:
    """And one that asks to move there does not either."""
    owner, thief = owner_of(app), stranger_to(app)
    await join(owner)
    thief.password = owner.password
    assert await thief.log_in() == 201
    await thief.move(thief.email, by_page=by_page)
    [link], [objection] = await links_to(thief, MOVE), await links_to(owner, NOTICE)
    assert await use(thief, Purpose.CHANGE_EMAIL, link, by_page=by_page) in DONE
    await thief.move(ADDRESS, by_page=by_page)  # and back
    back = (await links_to(owner, MOVE))[0]
    other = stranger_to(app)
    await other.register(by_page=by_page)
    async with db.transaction() as session:
        user = await service.find_user(session, ADDRESS)
        assert user is not None
        if state == "disabled":
            await service.disable_user(session, user.id)
        user.confirmed = state == "confirmed"
    gives_way = state == "unconfirmed"
    status = await use(thief, Purpose.CHANGE_EMAIL, back, by_page=by_page)
    if gives_way:
        assert status in DONE
    else:
        assert status == 409
        assert await use(owner, Purpose.OBJECT, objection, by_page=by_page) == 409
    async with db.session() as session:
        left = await session.get(User, user.id)
    assert (left is None) is gives_way


@BOTH
@pytest.mark.parametrize("shows", ["session", "token", "device", "password", "nothing"])
async def test_what_shows_a_registration_to_be_ones_own(
    app: Quart, by_page: bool, shows: str
) -> None:
    owner = owner_of(app)
    await owner.register(by_page=by_page)
    [link] = await links_to(owner, CONFIRM)
    elsewhere, headers, shown = owner_of(app), {}, ""
    if shows == "device":
        elsewhere = owner
    elif shows == "session":
        # Logged in on another device, whose device cookie is lost.
        assert await elsewhere.log_in() == 201
        elsewhere.browser.delete_cookie("localhost", "device_testing")
    elif shows == "token":
        headers = await token_for(ADDRESS)
    elif shows == "password":
        shown = owner.password
    page = await (await elsewhere.browser.get(link, headers=headers)).get_data(as_text=True)
    # An API token is for the API.
    assert ('name="password"' in page) == (shows in ("password", "token", "nothing"))
    status = await use(elsewhere, Purpose.CONFIRM, link, by_page=by_page, shown=shown, **headers)
    if shows == "nothing" or (shows == "token" and by_page):
        assert status == 403
        assert await users() == [(ADDRESS, "Olive", False)]
    else:
        assert status in DONE
        assert await users() == [(ADDRESS, "Olive", True)]
        if shows != "token":
            assert await elsewhere.account() == (ADDRESS, "Olive", True)


@BOTH
@pytest.mark.parametrize("shows", ["session", "token", "device"])
async def test_what_is_another_accounts_shows_nothing(
    app: Quart, by_page: bool, shows: str
) -> None:
    """The owner's browser knows another account; the registration is a stranger's."""
    owner, stranger = owner_of(app), stranger_to(app)
    owner.email = "olive@work.example"
    await join(owner)
    headers = await token_for(owner.email) if shows == "token" else {}
    if shows != "session":
        owner.browser.delete_cookie("localhost", "session_testing")
    await stranger.register(by_page=by_page)
    link = link_in(await newest(owner.browser, CONFIRM, ADDRESS))
    assert await use(owner, Purpose.CONFIRM, link, by_page=by_page, **headers) == 403
    assert (ADDRESS, "Mallory", False) in await users()
    # With the right password one is in as that account, and the other session has ended.
    shown = stranger.password
    assert await use(owner, Purpose.CONFIRM, link, by_page=by_page, shown=shown, **headers) in DONE
    if shows != "token" or by_page:
        assert await owner.account() == (ADDRESS, "Mallory", True)
    if by_page and shows == "session":
        page = await (await owner.browser.get("/")).get_data(as_text=True)
        assert f"You are now logged in as {ADDRESS}. {owner.email} has been logged out." in page


@BOTH
async def test_a_device_of_an_account_that_was_deleted_shows_nothing(
    app: Quart, by_page: bool
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await owner.register(by_page=by_page)
    await mails(owner.browser)
    await owner.log_in()
    await owner.do(DELETE_ACCOUNT, by_page=by_page, password=owner.password)
    await stranger.register(by_page=by_page)
    link = (await links_to(owner, CONFIRM))[0]
    assert await use(owner, Purpose.CONFIRM, link, by_page=by_page) == 403
    async with db.session() as session:
        devices = select(Credential).where(Credential.purpose == Purpose.DEVICE)
        [theirs] = (await session.execute(devices)).scalars()
        user = await service.find_user(session, ADDRESS)
    assert user is not None
    assert theirs.user_id == user.id
    assert user.first_name == "Mallory"


@BOTH
async def test_a_device_cookie_logs_nobody_in_and_a_made_up_one_is_replaced(
    app: Quart, by_page: bool
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await join(owner)
    assert owner.browser.cookie_jar is not None
    cookies = {cookie.name: str(cookie.value) for cookie in owner.browser.cookie_jar}
    stranger.browser.set_cookie("localhost", "device_testing", cookies["device_testing"])
    assert await stranger.account() is None
    assert await stranger.log_in() == 401
    for value in ("", "x", 43 * "é", 44 * "x", f"{43 * 'x'}; session_testing=x"):
        browser = stranger_to(app)
        browser.browser.set_cookie("localhost", "device_testing", value)
        await browser.register(f"m{len(value)}@example.com", by_page=by_page)
        assert browser.browser.cookie_jar is not None
        given = {each.name: str(each.value) for each in browser.browser.cookie_jar}
        assert given["device_testing"] != value
