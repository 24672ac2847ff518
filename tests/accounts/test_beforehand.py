"""Whoever registers an address that is not theirs gains nothing, and its owner loses nothing.

The owner reads the mails, the stranger does not: a link proves the mailbox, and nothing else.
"""

import pytest
from quart import Quart

from app.accounts import roles, service
from app.auth.models import Purpose, User
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
    RESEND_CONFIRMATION,
)
from tests.factories.people import invite
from tests.mail.captured import mails, token_of

CONFIRM, SET_UP = "Confirm your account", "Set up your account"
BOTH = pytest.mark.parametrize("by_page", [PAGE, API], ids=["page", "API"])


async def press(party: Party, link: str, *, by_page: bool, shown: str = "") -> int:
    """Press the button that confirms an address, with a password or without."""
    request = LINKS[Purpose.CONFIRM].use(token_of(link), by_page=by_page, shown=shown)
    return (await party.send(request)).status_code


async def is_owners(owner: Party, stranger: Party) -> None:
    """Check that the address is the owner's, who is in, and that the stranger is out."""
    assert await owner.account() == (ADDRESS, "Olive", True)
    assert (ADDRESS, "Olive", True) in await users()
    found = await stranger.account()
    assert found is None or found[0] == stranger.email
    assert await stranger.log_in() == 401
    owner.browser.delete_cookie("localhost", "session_testing")
    assert await owner.log_in() == 201


@BOTH
async def test_pressing_the_button_of_a_strangers_registration_confirms_nothing(
    app: Quart, by_page: bool
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await stranger.register(by_page=by_page)
    assert await stranger.log_in() == 201, "unconfirmed"
    [link] = await links_to(owner)
    for shown in ("", owner.password):
        assert await press(owner, link, by_page=by_page, shown=shown) == 403
        assert await stranger.account() == (ADDRESS, "Mallory", False)
        assert await owner.account() is None
    assert await owner.set_up(link, by_page=by_page) in DONE
    await is_owners(owner, stranger)
    assert len(await users()) == 1


@BOTH
async def test_a_registration_after_the_owners_changes_nothing(app: Quart, by_page: bool) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await owner.register(by_page=by_page)
    assert await owner.log_in() == 201
    [first] = await links_to(owner, CONFIRM)
    for _ in range(3):
        await stranger.register(by_page=by_page)
        assert await stranger.log_in() == 401
    assert await owner.account() == (ADDRESS, "Olive", False), "still logged in"
    assert len(await links_to(owner, SET_UP)) == 3, "these mails say that it is another one"
    assert await press(owner, first, by_page=by_page) in DONE, "one press, in this browser"
    await is_owners(owner, stranger)


@BOTH
async def test_the_owner_who_presses_the_newest_gets_in_too(app: Quart, by_page: bool) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await owner.register(by_page=by_page)
    await stranger.register(by_page=by_page)
    [first], [newest] = await links_to(owner, CONFIRM), await links_to(owner, SET_UP)
    assert await press(owner, newest, by_page=by_page, shown=stranger.password) == 409
    assert await owner.set_up(newest, by_page=by_page) in DONE
    await is_owners(owner, stranger)
    assert await press(owner, first, by_page=by_page, shown=owner.password) == 410


@BOTH
@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_stranger_before_and_after_the_owner_gains_nothing(
    app: Quart, by_page: bool, number: int
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await stranger.register(by_page=by_page)
    await mails(owner.browser)
    assert await stranger.log_in() == 201
    await owner.register(by_page=by_page)
    await mails(owner.browser)
    assert await owner.log_in() == 401, "the registration that there was stays as it is"
    await stranger.register(by_page=by_page)
    links = await links_to(owner)
    assert len(links) == 3
    shown = owner.password
    assert await press(owner, links[number], by_page=by_page, shown=shown) in (403, 409)
    assert [confirmed for _, _, confirmed in await users()] == [False]
    assert await owner.set_up(links[number], by_page=by_page) in DONE
    await is_owners(owner, stranger)
    for link in links:
        assert await owner.set_up(link, by_page=by_page) == 410


@BOTH
@pytest.mark.parametrize("act", ["deletes", "moves", "asks to move"])
@pytest.mark.parametrize("number", [0, 1], ids=["the owner's link", "the stranger's"])
async def test_what_becomes_of_a_strangers_registration_ends_no_link_of_the_owners(
    app: Quart, by_page: bool, act: str, number: int
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await stranger.register(by_page=by_page)
    await mails(owner.browser)
    await owner.register(by_page=by_page)
    link = (await links_to(owner))[number]
    assert await stranger.log_in() == 201
    if act == "deletes":
        await stranger.do(DELETE_ACCOUNT, by_page=by_page, password=stranger.password)
        assert await users() == []
    else:
        await stranger.move(stranger.email, by_page=by_page)
        [moving] = await links_to(stranger)
    moved = LINKS[Purpose.CHANGE_EMAIL].use if act != "deletes" else None
    if moved and act == "moves":
        request = moved(token_of(moving), by_page=by_page)
        assert (await stranger.send(request)).status_code in DONE
        assert await users() == [(stranger.email, "Mallory", True)]
    assert (await owner.browser.get(link)).status_code == 200
    assert await owner.set_up(link, by_page=by_page) in DONE
    await is_owners(owner, stranger)
    if moved and act == "asks to move":
        request = moved(token_of(moving), by_page=by_page, shown=stranger.password)
        assert (await stranger.send(request)).status_code == 410
        await is_owners(owner, stranger)


@BOTH
async def test_a_link_whose_registration_is_gone_says_that_the_account_is_set_up_anew(
    app: Quart, by_page: bool
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await stranger.register(by_page=by_page)
    [link] = await links_to(owner)
    await stranger.log_in()
    await stranger.do(DELETE_ACCOUNT, by_page=by_page, password=stranger.password)
    page = await (await owner.browser.get(link)).get_data(as_text=True)
    assert "Set up your account" in page
    assert "<form class" not in page.partition("<main")[2].partition("</main")[0]
    assert await press(owner, link, by_page=by_page, shown=stranger.password) == 409
    # The stranger registers once more: another registration, which this link does not confirm.
    await stranger.register(by_page=by_page)
    assert await press(owner, link, by_page=by_page, shown=stranger.password) == 409
    assert await owner.set_up(link, by_page=by_page) in DONE
    await is_owners(owner, stranger)


@BOTH
async def test_a_mail_that_a_stranger_has_sent_again_asks_for_the_password_too(
    app: Quart, by_page: bool
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await stranger.register(by_page=by_page)
    await mails(owner.browser)
    await stranger.log_in()
    await stranger.do(RESEND_CONFIRMATION, by_page=by_page)
    newest, first = await links_to(owner, CONFIRM)
    for link in (newest, first):
        assert await press(owner, link, by_page=by_page) == 403
    assert await owner.set_up(newest, by_page=by_page) in DONE
    await is_owners(owner, stranger)


@BOTH
async def test_a_reset_of_a_strangers_registration_chooses_the_name_anew(
    app: Quart, by_page: bool
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await stranger.register(by_page=by_page)
    await mails(owner.browser)
    await stranger.log_in()
    await stranger.move(stranger.email, by_page=by_page)
    await owner.do(REQUEST_RESET, by_page=by_page, email=ADDRESS)
    assert await links_to(owner, "Reset your password") == []
    [link] = await links_to(owner, SET_UP)
    assert await owner.set_up(link, by_page=by_page) in DONE
    await is_owners(owner, stranger)
    [moving] = await links_to(stranger)
    request = LINKS[Purpose.CHANGE_EMAIL].use(token_of(moving), by_page=by_page)
    assert (await stranger.send(request)).status_code == 410, "what was pending has ended"


@BOTH
async def test_a_stranger_who_registers_an_invited_address_ends_nothing(
    app: Quart, by_page: bool
) -> None:
    owner, stranger = owner_of(app), stranger_to(app)
    await invite(ADDRESS, roles.ADMINISTRATOR)
    [invitation] = await links_to(owner)
    await stranger.register(by_page=by_page)
    assert await stranger.log_in() == 401
    again, _ = await links_to(owner, "You are invited to join")
    assert again != invitation
    for token in (token_of(invitation), token_of(again)):
        request = LINKS[Purpose.CONFIRM].use(token, by_page=by_page, shown=stranger.password)
        assert (await owner.send(request)).status_code == 410, "for another purpose"
    # Nor does one whose own account would move there.
    await stranger.register(stranger.email, by_page=by_page)
    assert await stranger.log_in(stranger.email) == 201
    await stranger.move(ADDRESS, by_page=by_page)
    moving = (await links_to(owner, "Confirm your new email"))[0]
    request = LINKS[Purpose.CHANGE_EMAIL].use(token_of(moving), by_page=by_page)
    assert (await owner.send(request)).status_code == 403
    accepted = LINKS[Purpose.INVITE].use(token_of(invitation), owner.password, by_page=by_page)
    assert (await owner.send(accepted)).status_code in DONE
    assert await owner.log_in() == 201
    assert (await owner.browser.get("/admin")).status_code == 200
    assert await stranger.log_in() == 401


async def test_setting_up_keeps_the_role_that_the_address_was_given(app: Quart) -> None:
    """Whoever gave it, gave it to the owner of the address; a stranger has no use of it."""
    owner, stranger = owner_of(app), stranger_to(app)
    await stranger.register(by_page=API)
    async with db.transaction() as session:
        user = await service.find_user(session, ADDRESS)
        assert user is not None
        user.role_id = (await roles.role_of(session, roles.ADMINISTRATOR)).id
    await stranger.log_in()
    assert (await stranger.browser.get("/admin")).status_code == 303
    [link] = await links_to(owner)
    assert await owner.set_up(link, by_page=API) in DONE
    assert (await owner.browser.get("/admin")).status_code == 200


@BOTH
async def test_a_disabled_registration_is_not_set_up_anew(app: Quart, by_page: bool) -> None:
    """Whoever disabled it would be got round."""
    owner, stranger = owner_of(app), stranger_to(app)
    await stranger.register(by_page=by_page)
    [link] = await links_to(owner)
    async with db.transaction() as session:
        user = await service.find_user(session, ADDRESS)
        assert user is not None
        await service.disable_user(session, user.id)
    for act in (REQUEST_RESET, None):
        if act:
            await owner.do(act, by_page=by_page, email=ADDRESS)
        else:
            await owner.register(by_page=by_page)
    assert await links_to(owner) == [link], "no mail either"
    assert await owner.set_up(link, by_page=by_page) == 410
    async with db.session() as session:
        assert await session.get(User, user.id) is not None
    assert await users() == [(ADDRESS, "Mallory", False)]
