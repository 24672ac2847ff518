"""Nothing that a stranger chooses is in a mail to a mailbox whose owner has not proved it.

Else a stranger would send advertisements under our name: as a first name, say, or as a part of the
address, which `owner+anything@` lets everybody choose.
"""

from email.message import EmailMessage
from html import unescape

import pytest
from quart import Quart

from app.accounts import people, registration, roles, service
from app.auth.models import Purpose
from app.config import Config
from app.database import db
from app.environment import PROJECT_ROOT
from app.mail.message import Email, compose
from tests.accounts.parties import Party, links_to
from tests.accounts.surfaces import (
    API,
    LINKS,
    LOG_IN,
    MAKE_TOKEN,
    REQUEST_RESET,
    RESEND_CONFIRMATION,
)
from tests.factories.people import PASSWORD, make_person
from tests.mail.acts import signed_in
from tests.mail.captured import mails, token_of

WORDS = {
    "www": "www.evil.example",
    "slashes": "//evil.example",
    "path": "evil.example/win",
    "telephone": "+491711234567",
    "plain": "You+have+won+evil",
}
LOCAL = {"slashes": "www.evil.example/x", "telephone": "491711234567"}  # the part of an address
MARKS = ("evil", "1711234567")
TEMPLATES = {
    str(path.relative_to(folder).with_suffix(""))
    for folder in PROJECT_ROOT.glob("app/accounts/templates")
    for path in folder.glob("*/email/*.txt")
}

Sent = list[tuple[str, EmailMessage]]  # the template and the message


@pytest.fixture
def sent(app: Quart, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Every mail that is sent."""
    found: Sent = []

    async def recorded(email: Email) -> EmailMessage:
        message = await compose(email)
        found.append((email.template, message))
        return message

    monkeypatch.setattr("app.mail.delivery.compose", recorded)
    return found


@pytest.mark.parametrize("kind", WORDS)
async def test_no_words_of_a_stranger_are_in_a_mail_to_somebody_else(
    app: Quart, settings: Config, sent: Sent, kind: str
) -> None:
    settings.LOGIN_LIMIT_ACCOUNT = "1/hour"
    local = LOCAL.get(kind, WORDS[kind])
    names = {"first_name": WORDS[kind], "last_name": WORDS[kind]}
    stranger = Party(app.test_client(), f"{local}@example.com", PASSWORD, names)
    owners = f"olive+{local}@example.com"

    # Registrations of the owner's address, and what can be asked for it.
    await stranger.register(owners, by_page=API)
    await mails(stranger.browser)
    await stranger.register(owners, by_page=API)
    await stranger.do(REQUEST_RESET, by_page=API, email=owners)
    await stranger.log_in(owners)
    await stranger.do(RESEND_CONFIRMATION, by_page=API)
    await mails(stranger.browser)

    # An account of the stranger's own that moves to another address of the owner's, and back.
    other = f"olive+moved+{local}@example.com"
    await stranger.register(stranger.email, by_page=API)
    [link] = await links_to(stranger)
    request = LINKS[Purpose.CONFIRM].use(token_of(link), by_page=API)
    assert (await stranger.send(request)).status_code == 200
    await stranger.move(other, by_page=API)
    [objection] = await links_to(stranger, "is about to change")
    owner = Party(app.test_client(), other, PASSWORD)
    [link] = await links_to(owner)
    request = LINKS[Purpose.CHANGE_EMAIL].use(token_of(link), by_page=API)
    assert (await stranger.send(request)).status_code == 200
    request = LINKS[Purpose.OBJECT].use(token_of(objection), by_page=API)
    assert (await stranger.send(request)).status_code == 200

    # An invitation with names that are somebody's words too, and again by the stranger.
    async with db.transaction() as session:
        await registration.invite_user(
            session, email=f"kim+{local}@example.com", role=None, **names
        )
    await stranger.register(f"kim+{local}@example.com", by_page=API)

    # An account that a stranger has registered, of which an administrator makes another.
    await stranger.register(f"lee+{local}@example.com", by_page=API)
    administrator = await signed_in((await make_person(role=roles.ADMINISTRATOR)).id)
    async with db.transaction() as session:
        lee = await service.find_user(session, f"lee+{local}@example.com")
        assert lee
        await people.disable(session, administrator, lee.id)

    # Somebody who has an account: registered, moved to, guessed at, reset, changed by a thief.
    person = await make_person()
    robin = Party(app.test_client(), person.email, PASSWORD)
    await stranger.register(person.email, by_page=API)
    guess = LOG_IN.request({"email": person.email, "password": WORDS[kind]}, by_page=API)
    agent = {"User-Agent": WORDS[kind]}
    statuses = [(await stranger.send(guess, **agent)).status_code for _ in range(2)]
    assert statuses == [401, 429]
    settings.LOGIN_LIMIT_ACCOUNT = "50/hour"
    await robin.log_in(person.email)
    await robin.move(f"olive+third+{local}@example.com", by_page=API)
    made = {"name": "Nightly export", "scopes": ["read"]}
    assert (await robin.send(MAKE_TOKEN.request(made, by_page=API))).status_code == 201
    await robin.do(REQUEST_RESET, by_page=API, email=person.email)
    [link] = await links_to(robin, "Reset your password")
    reset = LINKS[Purpose.RESET].use(token_of(link), "nine green lanterns hum", by_page=API)
    assert (await robin.send(reset, **agent)).status_code == 204
    await mails(stranger.browser)

    assert {template for template, _ in sent} == TEMPLATES, "every mail that there is"
    others = [(template, each) for template, each in sent if each["To"] != stranger.email]
    assert {template for template, _ in others} == TEMPLATES
    for template, message in others:
        assert_no_words(template, message)


def assert_no_words(template: str, message: EmailMessage) -> None:
    """Check every header but To, and both parts, as they are sent and as they are read."""
    recipient = message["To"]
    headers = [f"{name}: {value}" for name, value in message.items() if name != "To"]
    parts = [part.get_content() for part in message.iter_parts()]
    assert len(parts) == 2
    raw = message.as_string().replace(recipient, "")
    shown = "\n".join([*headers, *parts, *map(unescape, parts), raw]).lower()
    assert not [mark for mark in MARKS if mark in shown], (template, shown)
    assert recipient not in shown


async def test_the_owner_is_greeted_by_name_once_the_mailbox_is_proved(
    app: Quart, sent: Sent
) -> None:
    robin = Party(app.test_client(), "robin@example.com", PASSWORD)
    robin.names = {"first_name": "Robin", "last_name": "Example"}
    await robin.register(robin.email, by_page=API)
    [link] = await links_to(robin)
    assert "Robin" not in sent[0][1].as_string()
    request = LINKS[Purpose.CONFIRM].use(token_of(link), by_page=API)
    assert (await robin.send(request)).status_code == 200
    await robin.do(REQUEST_RESET, by_page=API, email=robin.email)
    await mails(robin.browser)
    assert "Hello Robin," in sent[-1][1].as_string()
    async with db.session() as session:
        user = await service.find_user(session, robin.email)
    assert user is not None
    assert user.confirmed
