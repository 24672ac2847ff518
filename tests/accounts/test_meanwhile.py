"""An act whose password was checked is refused if its session has ended since; ended is final."""

from collections.abc import Awaitable, Callable

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import select, update

from app.accounts import email_change, passwords, roles, service
from app.accounts.schemas import EmailChange, PasswordChange
from app.auth import password_checks, sessions
from app.auth.identity import Client, Identity
from app.auth.models import Credential, Purpose, Role, User
from app.auth.password_checks import Verified, WrongCredentials, WrongPassword
from app.config import Config
from app.database import db, utcnow
from app.errors import DomainError
from app.mail.models import OutboxMail
from tests.factories.people import PASSWORD, Person, invite, log_in, make_person
from tests.mail import acts
from tests.mail.captured import link_to, mails

NEW = "nine green lanterns hum"
HERE = Client("127.0.0.1", "", local=True)


async def end_session(person: Person) -> None:
    async with db.transaction() as session:
        mine = (Credential.user_id == person.id, Credential.purpose == Purpose.SESSION)
        await session.execute(update(Credential).where(*mine).values(expires_at=utcnow()))


async def change_hash(person: Person) -> None:
    async with db.transaction() as session:
        await session.execute(update(User).values(password_hash="another"))


async def disable(person: Person) -> None:
    async with db.transaction() as session:
        await service.disable_user(session, person.id)


async def disable_and_enable(person: Person) -> None:
    await disable(person)
    async with db.transaction() as session:
        await service.enable_user(session, person.id)


async def delete_account(actor: Identity) -> None:
    await service.delete_account(actor, PASSWORD, HERE)


async def change_password(actor: Identity) -> None:
    data = {"old_password": PASSWORD, "new_password": NEW}
    await passwords.change(actor, PasswordChange.model_validate(data), HERE)


async def change_email(actor: Identity) -> None:
    data = {"email": "elsewhere@example.com", "password": PASSWORD}
    await email_change.request(actor, EmailChange.model_validate(data), HERE)


@pytest.mark.parametrize("act", [delete_account, change_password, change_email])
@pytest.mark.parametrize("meanwhile", [end_session, change_hash, disable, disable_and_enable])
async def test_an_act_whose_password_was_checked_is_refused_if_its_session_has_ended_since(
    app: Quart,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Identity], Awaitable[None]],
    meanwhile: Callable[[Person], Awaitable[None]],
) -> None:
    person = await make_person()
    async with db.transaction() as session:
        verified = await password_checks.authenticate(person.email, PASSWORD, HERE)
        begun = await sessions.start_session(session, verified, HERE, remember=False)
    actor = await sessions.identify(begun.secret, (Purpose.SESSION,))

    async def check(*_: object, **__: object) -> Verified:
        await meanwhile(person)
        return verified

    for module in (service, passwords, email_change):
        monkeypatch.setattr(module, "require_password", check)
    with pytest.raises(DomainError) as refused:
        await act(actor)
    assert isinstance(refused.value, WrongCredentials | WrongPassword)
    async with db.session() as session:
        user = await session.get_one(User, person.id)
        assert (await session.execute(select(OutboxMail))).first() is None
        links = select(Credential).where(Credential.purpose == Purpose.CHANGE_EMAIL)
        assert (await session.execute(links)).first() is None
    expected = "another" if meanwhile is change_hash else verified.password_hash
    assert user.password_hash == expected


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_link_that_was_asked_for_before_one_was_disabled_is_never_mailed(
    client: Browser, confirmed: bool
) -> None:
    person = await make_person(confirmed=confirmed)
    await passwords.request_reset(person.email, HERE)
    await disable_and_enable(person)
    assert await mails(client) == []
    await passwords.request_reset(person.email, HERE)
    assert len(await mails(client)) == 1


async def test_a_link_that_was_asked_for_before_the_password_changed_is_never_mailed(
    client: Browser,
) -> None:
    person = await make_person()
    await log_in(client, person)
    await passwords.request_reset(person.email, HERE)
    form = {"old_password": PASSWORD, "new_password": NEW, "new_password2": NEW}
    await client.post("/account/manage/change-password", form=form)
    assert ["changed" in mail["subject"] for mail in await mails(client)] == [True]


async def test_an_account_that_nobody_has_confirmed_takes_no_role_to_another_address(
    client: Browser,
) -> None:
    stranger = await make_person(confirmed=False, role=roles.ADMINISTRATOR)
    await log_in(client, stranger)
    form = {"email": "elsewhere@example.com", "password": PASSWORD}
    await client.post("/account/manage/change-email", form=form)
    await client.post(await link_to(client, "Confirm your new email"), form={})
    async with db.session() as session:
        moved = select(User.email, Role.name).join(Role).where(User.id == stranger.id)
        assert (await session.execute(moved)).one() == ("elsewhere@example.com", "User")


async def test_a_registration_that_anybody_may_have_made_blocks_no_invitation(app: Quart) -> None:
    stranger = await make_person(confirmed=False)
    await invite(stranger.email)
    async with db.session() as session:
        assert await session.get(User, stranger.id) is None
        found = await service.find_user(session, stranger.email)
    assert found is not None
    assert found.is_invited
    with pytest.raises(service.EmailTaken):
        await invite(stranger.email)


@pytest.mark.parametrize(("confirmed", "arrive"), [(True, 5), (False, 3)])
async def test_those_who_have_proved_no_address_share_the_limit_of_mails_to_another_one(
    client: Browser,
    settings: Config,
    monkeypatch: pytest.MonkeyPatch,
    confirmed: bool,
    arrive: int,
) -> None:
    monkeypatch.setattr(settings, "ACCOUNT_MAIL_LIMIT", "3/hour")
    for _ in range(5):
        await acts.ask_to_move(await make_person(confirmed=confirmed), "wanted@example.com")
    told = [mail for mail in await mails(client) if mail["to"] == ["wanted@example.com"]]
    assert len(told) == arrive
