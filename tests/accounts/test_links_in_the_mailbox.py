"""How many links are mailed to one address: never none that works, and never a dead one."""

from datetime import timedelta
from uuid import UUID

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select, update

from app.accounts import passwords, registration
from app.auth.models import Credential, Purpose
from app.config import Config
from app.database import db, utcnow
from app.mail.message import Email, MailFailed
from app.mail.models import OutboxMail
from tests.factories.people import Person, make_person
from tests.mail import acts, captured

RESET = "Reset your password"


async def age(**difference: float) -> None:
    """Make everything that was mailed, or is to be, older."""
    by = timedelta(**difference)
    async with db.transaction() as session:
        for mail in (await session.execute(select(OutboxMail))).scalars():
            mail.created_at -= by
        for link in (await session.execute(select(Credential))).scalars():
            link.created_at -= by
            link.expires_at -= by


async def ask(person: Person, times: int = 1) -> None:
    for _ in range(times):
        await passwords.request_reset(person.email, acts.CLIENT)


async def resets(client: Browser) -> int:
    return sum(RESET in mail["subject"] for mail in await captured.mails(client))


async def test_links_that_work_for_a_while_are_enough(client: Browser) -> None:
    person = await make_person()
    for _ in range(5):
        await ask(person)
        before = await resets(client)
    assert before == 3
    await age(minutes=15)
    await ask(person)
    assert await resets(client) == 3, "half of their lifetime is left"


async def test_links_that_expire_soon_are_not_enough(client: Browser) -> None:
    person = await make_person()
    await ask(person, 3)
    assert await resets(client) == 3
    await age(minutes=29)
    await ask(person)
    assert await resets(client) == 4


async def test_links_that_were_used_or_revoked_are_not_enough(client: Browser) -> None:
    person = await make_person()
    for values in ({"consumed_at": utcnow()}, {"expires_at": utcnow()}):
        before = await resets(client)
        await ask(person, 3)
        assert await resets(client) == before + 3
        async with db.transaction() as session:
            await session.execute(update(Credential).values(values))


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The mail server takes nothing until this is undone."""

    async def deliver(email: Email) -> None:
        raise MailFailed("later")

    monkeypatch.setattr("app.mail.delivery.deliver", deliver)
    return monkeypatch


async def unsent() -> list[UUID]:
    async with db.session() as session:
        query = select(OutboxMail.id).where(OutboxMail.sent_at.is_(None))
        return list((await session.execute(query)).scalars())


async def test_links_that_the_mail_server_did_not_take_are_not_enough(
    app: Quart, away: pytest.MonkeyPatch
) -> None:
    person = await make_person()
    await ask(person, 3)
    refused = await unsent()
    for mail_id in refused:
        with pytest.raises(MailFailed):
            await passwords.send_reset(mail_id)
    away.undo()
    await age(minutes=3)
    await ask(person)
    [mine] = set(await unsent()) - set(refused)
    await passwords.send_reset(mine)
    async with db.session() as session:
        assert (await session.get_one(OutboxMail, mine)).sent_at is not None


@pytest.mark.parametrize("what", ["reset", "registration"])
async def test_a_link_that_would_have_expired_by_now_is_not_mailed(
    app: Quart, client: Browser, away: pytest.MonkeyPatch, what: str
) -> None:
    if what == "reset":
        await ask(await make_person())
    else:
        await acts.registered()
    [mail_id] = await unsent()
    send = passwords.send_reset if what == "reset" else registration.send_registration
    with pytest.raises(MailFailed):
        await send(mail_id)
    away.undo()
    await age(hours=25)
    assert await captured.mails(client) == []
    assert await unsent() == []
    purpose = Purpose.RESET if what == "reset" else Purpose.CONFIRM
    async with db.session() as session:
        query = select(Credential.id).where(
            Credential.purpose == purpose, Credential.expires_at > utcnow()
        )
        assert (await session.execute(query)).all() == []


async def test_who_wants_an_address_that_is_taken_is_told_of_within_the_limit(
    client: Browser, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ACCOUNT_MAIL_LIMIT", "3/hour")
    person = await make_person()
    for _ in range(5):
        await acts.ask_to_move(await make_person(), person.email)
        await captured.mails(client)
    told = [mail for mail in await captured.mails(client) if mail["to"] == [person.email]]
    assert [mail["subject"] for mail in told] == ["[quart-base] You already have an account"] * 3
