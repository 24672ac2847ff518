"""What people do with their own accounts, by page and by API."""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

from app.auth import sessions
from app.auth.models import Purpose
from app.database import db
from tests.accounts.surfaces import (
    CHANGE_PASSWORD,
    DELETE_ACCOUNT,
    END_OTHER_SESSIONS,
    END_SESSION,
    END_TOKEN,
    LINKS,
    LOG_IN,
    LOG_OUT,
    MAKE_TOKEN,
    REAUTHENTICATE,
    REGISTER,
    RENAME,
    REQUEST_EMAIL_CHANGE,
    REQUEST_RESET,
    RESEND_CONFIRMATION,
    SET_UP,
    Flow,
)
from tests.factories.people import PASSWORD, invite, make_person
from tests.factories.tokens import make_token
from tests.scenes import CHOSEN, Scene, Stage, scene

NAMES = {"first_name": "Kim", "last_name": "Guest"}
OTHER = "another@example.com"

Both = Callable[..., Awaitable[object]]  # with `by_page`


def both(page: str, api: str, acts: str, play: Both) -> list[Scene]:
    """Declare a scene on both surfaces."""
    return [
        scene(f"accounts.{page}", acts, partial(play, by_page=True)),
        scene(f"accounts_api.{api}", acts, partial(play, by_page=False)),
    ]


def by_member(flow: Flow, fields: dict[str, str] | None = None, *, confirmed: bool = True) -> Both:
    """Play what somebody who is logged in does with their account."""

    async def play(stage: Stage, by_page: bool) -> None:
        browser, _ = await stage.member(confirmed=confirmed)
        await stage.send(browser, flow.request(fields, by_page=by_page))

    return play


def by_visitor(flow: Flow, **fields: str) -> Both:
    """Play what anybody does; the address is that of an account unless it is given."""

    async def play(stage: Stage, by_page: bool) -> None:
        person = await make_person()
        given = {"email": person.email} | fields
        await stage.send(stage.visitor(), flow.request(given, by_page=by_page))

    return play


async def end_session(stage: Stage, by_page: bool) -> None:
    browser, person = await stage.member()
    await stage.log_in(person)
    async with db.session() as session:
        _, other = await sessions.list_credentials(session, person.id, Purpose.SESSION)
    newer_first = END_SESSION.request(by_page=by_page, id=other.id)
    await stage.send(browser, newer_first)


async def confirm(stage: Stage, by_page: bool) -> None:
    person = await make_person(confirmed=False)
    secret = await stage.link(Purpose.CONFIRM, person)
    link = LINKS[Purpose.CONFIRM]
    await stage.send(stage.visitor(), link.use(secret, by_page=by_page, shown=PASSWORD))


async def set_up(stage: Stage, by_page: bool) -> None:
    person = await make_person(confirmed=False)
    secret = await stage.link(Purpose.CONFIRM, person, registered=False)
    await stage.send(stage.visitor(), SET_UP.use(secret, CHOSEN, by_page=by_page, **NAMES))


async def use_reset(stage: Stage, by_page: bool) -> None:
    secret = await stage.link(Purpose.RESET, await make_person())
    await stage.send(stage.visitor(), LINKS[Purpose.RESET].use(secret, CHOSEN, by_page=by_page))


async def accept(stage: Stage, by_page: bool) -> None:
    invited = await invite()
    secret = await stage.link(Purpose.INVITE, invited)
    await stage.send(stage.visitor(), LINKS[Purpose.INVITE].use(secret, CHOSEN, by_page=by_page))


async def change_email(stage: Stage, by_page: bool) -> None:
    person = await make_person()
    secret = await stage.link(Purpose.CHANGE_EMAIL, person, OTHER)
    link = LINKS[Purpose.CHANGE_EMAIL]
    await stage.send(stage.visitor(), link.use(secret, by_page=by_page, shown=PASSWORD))


async def keep_email(stage: Stage, by_page: bool) -> None:
    person = await make_person()
    secret = await stage.link(Purpose.OBJECT, person, OTHER)
    await stage.send(stage.visitor(), LINKS[Purpose.OBJECT].use(secret, by_page=by_page))


async def rename_elsewhere(stage: Stage) -> None:
    browser, _ = await stage.member()
    flow = Flow("POST /account/manage/info", "")
    await stage.send(browser, flow.request(NAMES, by_page=True))


async def make_a_token(stage: Stage, by_page: bool) -> None:
    browser, _ = await stage.member()
    fields: dict[str, object] = {"name": "Nightly export", "scopes": ["read", "write"]}
    if by_page:
        fields |= {"expires_in_days": 30, "form_id": str(uuid4())}
    answer = await stage.send(browser, MAKE_TOKEN.request(fields, by_page=by_page))
    [secret] = re.findall(r'qb_\w{49}(?=")', await answer.get_data(as_text=True))[:1]
    stage.secrets.add(secret)


async def end_a_token(stage: Stage, by_page: bool) -> None:
    browser, person = await stage.member()
    await make_token(person.id)
    async with db.session() as session:
        [token] = await sessions.list_credentials(session, person.id, Purpose.TOKEN)
    await stage.send(browser, END_TOKEN.request(by_page=by_page, id=token.id))


own = {"password": PASSWORD}
registered = by_visitor(REGISTER, email="new@example.com", password=CHOSEN, **NAMES)
changed = by_member(CHANGE_PASSWORD, {"old_password": PASSWORD, "new_password": CHOSEN})
asked = by_member(REQUEST_EMAIL_CHANGE, own | {"email": OTHER})

SCENES = [
    *both("register", "register", "user.registered", registered),
    *both("confirm_account", "confirm_email", "user.confirmed session.started", confirm),
    *both("set_up", "set_up", "user.deleted user.set_up session.started", set_up),
    *both("login", "begin_session", "session.started", by_visitor(LOG_IN, **own)),
    *both("logout", "end_session", "session.ended", by_member(LOG_OUT)),
    *both(
        "reauthenticate",
        "reauthenticate",
        "session.reauthenticated",
        by_member(REAUTHENTICATE, own),
    ),
    *both("manage", "change_account", "user.renamed", by_member(RENAME, NAMES)),
    scene("accounts.manage_info", "user.renamed", rename_elsewhere),
    *both("change_password", "change_password", "user.password_changed session.started", changed),
    *both("change_email", "change_email", "user.email_change_requested", asked),
    *both(
        "confirm_change_of_email",
        "confirm_change_of_email",
        "user.email_changed session.started",
        change_email,
    ),
    *both("keep_email", "object_to_change_of_email", "user.email_reverted", keep_email),
    *both("end_session", "end_one_session", "session.revoked", end_session),
    *both(
        "end_other_sessions",
        "end_other_sessions",
        "sessions.revoked",
        by_member(END_OTHER_SESSIONS),
    ),
    scene("accounts.manage_tokens", "token.made", partial(make_a_token, by_page=True)),
    scene("accounts_api.make_token", "token.made", partial(make_a_token, by_page=False)),
    *both("end_token", "end_token", "token.ended", end_a_token),
    *both("delete_account", "delete_account", "user.deleted", by_member(DELETE_ACCOUNT, own)),
    *both("set_password", "reset_password", "user.password_reset", use_reset),
    *both("join_from_invite", "accept_invitation", "user.accepted", accept),
    # These post a mail; its job leaves the entry when there is a link to mail.
    *both("reset_password", "request_reset", "", by_visitor(REQUEST_RESET)),
    *both(
        "send_confirmation_again",
        "send_confirmation_again",
        "",
        by_member(RESEND_CONFIRMATION, confirmed=False),
    ),
]

NOTHING = {"accounts_api.password_strength": "tells how strong a password is"}
