"""The outbox: a mail is sent if and only if what it is about has committed."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from sqlalchemy import func, select

from app.config import Config
from app.database import db, utcnow
from app.jobs.models import Job, State
from app.mail import outbox
from app.mail.message import MailFailed
from app.mail.models import OutboxMail
from app.validators.email_address import EmailAddress, email_address
from tests.accounts.surfaces import API, LOG_IN, REQUEST_RESET
from tests.factories.people import PASSWORD
from tests.jobs.conftest import jobs, run_burst
from tests.mail import acts, captured

ROBIN = email_address("Robin@example.com")
NOTICE: dict[str, Any] = {
    "subject": "Changed",
    "template": "accounts/email/password_changed",
    "name": "Robin",
    "link": "http://localhost/somewhere",
}


@pytest.fixture(autouse=True)
def empty_mailbox(settings: Config) -> None:
    captured.empty(settings)


async def notify(to: EmailAddress = ROBIN) -> None:
    async with db.transaction() as session:
        await outbox.notify(session, to, **NOTICE)


async def rows() -> list[OutboxMail]:
    async with db.session() as session:
        query = select(OutboxMail).order_by(OutboxMail.created_at)
        return list((await session.execute(query)).scalars())


async def test_a_mail_of_a_transaction_that_commits_is_sent_once(app: Quart) -> None:
    await notify()
    [mail] = await captured.mails(app.test_client())
    assert (mail["to"], mail["subject"]) == (["Robin@example.com"], "[quart-base] Changed")
    assert "Hello Robin," in mail["text"]
    assert len(await captured.mails(app.test_client())) == 1
    [row] = await rows()
    assert row.sent_at is not None


async def test_a_mail_of_a_transaction_that_rolls_back_is_never_sent(app: Quart) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as session:
            await outbox.notify(session, ROBIN, **NOTICE)
            raise ZeroDivisionError
    assert await captured.mails(app.test_client()) == []
    assert await rows() == []
    assert await jobs() == []


async def test_a_job_that_runs_again_after_it_has_sent_sends_nothing(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    await notify()
    [row] = await rows()
    sent: list[object] = []

    async def deliver(email: object) -> None:
        sent.append(email)

    monkeypatch.setattr("app.mail.delivery.deliver", deliver)
    for _ in range(3):
        await outbox.send_notice(row.id)
    await outbox.send_notice(uuid4())
    assert len(sent) == 1


async def test_a_mail_that_the_server_does_not_take_stays_unsent(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    await notify()
    [row] = await rows()

    async def deliver(email: object) -> None:
        raise MailFailed("later")

    with monkeypatch.context() as patch, pytest.raises(MailFailed):
        patch.setattr("app.mail.delivery.deliver", deliver)
        await outbox.send_notice(row.id)
    assert [row.sent_at for row in await rows()] == [None]
    assert len(await captured.mails(app.test_client())) == 1


async def test_old_mails_are_deleted_and_others_kept(app: Quart) -> None:
    now, day = utcnow(), timedelta(days=1)
    ages = {
        "sent long ago": (2 * day, now - day - timedelta(minutes=1)),
        "sent today": (2 * day, now - day + timedelta(minutes=1)),
        "never sent": (31 * day, None),
        "to be retried": (29 * day, None),
    }
    async with db.transaction() as session:
        for name, (age, sent_at) in ages.items():
            mail = OutboxMail(kind=name, email=str(ROBIN), content={}, sent_at=sent_at)
            mail.created_at = now - age
            session.add(mail)
    async with db.transaction() as session:
        await outbox.delete_old(session)
    assert {row.kind for row in await rows()} == {"sent today", "to be retried"}


async def test_old_mails_are_deleted_by_the_schedule(app: Quart) -> None:
    assert "mail.delete_old" in app.extensions["schedule"]


async def test_enough_are_counted_by_kind_and_address_and_only_those_sent(app: Quart) -> None:
    now = utcnow()
    async with db.transaction() as session:
        for minutes in (5, 50, 70):
            sent_at = now - timedelta(minutes=minutes)
            session.add(OutboxMail(kind="a.b", email="x@example.com", content={}, sent_at=sent_at))
        session.add(OutboxMail(kind="a.b", email="x@example.com", content={}))

    async def is_enough(rule: str, kind: str = "a.b", email: str = "x@example.com") -> bool:
        async with db.session() as session:
            return await outbox.is_enough(session, OutboxMail(kind=kind, email=email), rule)

    assert [await is_enough(f"{number}/hour") for number in (1, 2, 3)] == [True, True, False]
    assert await is_enough("3/day")
    assert await is_enough("1/minute;2/hour")
    assert not await is_enough("1/hour", kind="a.c")
    assert not await is_enough("1/hour", email="y@example.com")


async def everything_stored() -> str:
    """Return the text of the outbox and of the jobs."""
    async with db.session() as session:
        stored = [
            *(await session.execute(select(OutboxMail.__table__))).mappings(),
            *(await session.execute(select(Job.__table__))).mappings(),
        ]
    return json.dumps([dict(row) for row in stored], default=str)


async def test_no_secret_is_in_the_outbox_or_in_a_job(app: Quart) -> None:
    """Neither before the mails are sent, nor after: only in the mails themselves."""
    for act in (
        acts.registered,
        acts.registered_again,
        acts.reset_requested,
        acts.invited,
        acts.asked_to_move,
        acts.password_reset,
        acts.address_lost,
    ):
        await act()
    before = await everything_stored()
    mails = await captured.mails(app.test_client())
    assert len(mails) == 8, "a wish to move sends two"
    after = await everything_stored()
    secrets = set(re.findall(r"/([\w-]{43})\b", " ".join(mail["text"] for mail in mails)))
    assert len(secrets) == 5
    for stored in (before, after):
        assert not re.search(r"[\w-]{43}", stored), "as long as a secret"
        for secret in [*secrets, PASSWORD, acts.NEW]:
            assert secret not in stored


async def test_an_address_without_an_account_is_not_kept(app: Quart, settings: Config) -> None:
    """But for a day if it was registered: then it has one."""
    settings.LOGIN_LIMIT_ACCOUNT = "1/day"
    stranger, client = "nobody-here@example.com", app.test_client()
    for request in (
        REQUEST_RESET.request({"email": stranger}, by_page=API),
        *[LOG_IN.request({"email": stranger, "password": "x"}, by_page=API)] * 3,
    ):
        await client.post(request.path, json=request.fields)
    assert len(await rows()) == 2
    assert stranger not in await everything_stored()
    await run_burst()
    assert await rows() == []
    assert {job.state for job in await jobs()} == {State.DONE}


async def test_a_mail_that_is_not_sent_after_all_is_deleted(app: Quart) -> None:
    _, user_id = await acts.reset_requested()
    await acts.move(user_id)
    assert await captured.mails(app.test_client()) == []
    assert await rows() == []


async def test_of_parallel_acts_each_is_told_of(app: Quart) -> None:
    await asyncio.gather(*(notify() for _ in range(5)))
    assert len(await captured.mails(app.test_client())) == 5
    async with db.session() as session:
        sent = select(func.count()).where(OutboxMail.sent_at.is_not(None))
        assert (await session.execute(sent)).scalar_one() == 5
