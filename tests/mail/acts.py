"""What people do that somebody is told of by mail; no job has run when they return."""

from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import delete

from app.accounts import email_change, links, log_in, passwords, registration, service, tokens
from app.accounts.schemas import PasswordChange, Registration
from app.accounts.token_schemas import TokenIn
from app.auth import sessions
from app.auth.identity import Client, Identity
from app.auth.models import Credential, Purpose, User
from app.auth.password_checks import TooManyGuesses, WrongCredentials
from app.auth.scopes import Scope
from app.auth.tokens import digest, new_secret
from app.database import db, utcnow
from app.validators.email_address import email_address
from tests.factories.people import PASSWORD, Person, invite, make_person

NEW = "nine green lanterns hum"
CLIENT = Client("192.0.2.1", "", local=False)
NUMBERS = count(1)


async def signed_in(user_id: int) -> Identity:
    """Return the identity of a user in a session."""
    secret = new_secret()
    async with db.transaction() as session:
        expires_at = utcnow() + timedelta(days=1)
        session.add(
            Credential(
                purpose=Purpose.SESSION,
                digest=digest(secret),
                user_id=user_id,
                expires_at=expires_at,
            )
        )
    return await sessions.identify(secret, (Purpose.SESSION,))


async def link_of(user_id: int, purpose: Purpose, email: str) -> str:
    """Return the secret of a link that works, of which no mail is sent."""
    async with db.transaction() as session:
        return links.new_link(session, purpose, email_address(email), user_id=user_id)


async def user_at(email: str) -> int:
    async with db.session() as session:
        user = await service.find_user(session, email)
    assert user, email
    return user.id


async def ask_to_move(person: Person, email: str) -> None:
    async with db.transaction() as session:
        user = await service.get_user(session, person.id)
        await email_change.mail_links(session, user, email)


# Each returns the address that is told, and the id of the user that it is about, or 0.


async def password_changed() -> tuple[str, int]:
    person = await make_person()
    change = PasswordChange.model_validate({"old_password": PASSWORD, "new_password": NEW})
    await passwords.change(await signed_in(person.id), change, CLIENT)
    return person.email, person.id


async def password_reset() -> tuple[str, int]:
    person = await make_person()
    secret = await link_of(person.id, Purpose.RESET, person.email)
    await passwords.set_by_link(secret, Purpose.RESET, NEW, CLIENT, field="password")
    return person.email, person.id


async def token_made() -> tuple[str, int]:
    person = await make_person()
    wanted = TokenIn(name="Nightly export", scopes={Scope.READ})
    await tokens.make_token(await signed_in(person.id), wanted)
    return person.email, person.id


async def address_lost() -> tuple[str, int]:
    """The owner objects, so that the account leaves the address that it has."""
    email = f"Thief{next(NUMBERS)}@example.com"
    person = await make_person(email=email)
    owner = f"owner{next(NUMBERS)}@example.com"
    secret = await link_of(person.id, Purpose.OBJECT, owner)
    async with db.transaction() as session:
        await email_change.revert_email_change(session, secret)
    return email, person.id


async def asked_to_move() -> tuple[str, int]:
    """The present address may object."""
    person = await make_person()
    await ask_to_move(person, f"new{next(NUMBERS)}@example.com")
    return person.email, person.id


async def asked_to_move_here() -> tuple[str, int]:
    person, email = await make_person(), f"new{next(NUMBERS)}@example.com"
    await ask_to_move(person, email)
    return email, person.id


async def wanted_by_another() -> tuple[str, int]:
    person = await make_person()
    await ask_to_move(await make_person(), person.email)
    return person.email, person.id


async def register(email: str) -> None:
    fields = {"first_name": "Robin", "last_name": "Example", "email": email, "password": NEW}
    await registration.register(Registration.model_validate(fields), CLIENT)


async def registered() -> tuple[str, int]:
    email = f"Newcomer{next(NUMBERS)}@example.com"
    await register(email)
    return email, await user_at(email)


async def registered_again() -> tuple[str, int]:
    person = await make_person()
    await register(person.email)
    return person.email, person.id


async def reset_requested() -> tuple[str, int]:
    person = await make_person()
    await passwords.request_reset(person.email, CLIENT)
    return person.email, person.id


async def invited() -> tuple[str, int]:
    email = f"guest{next(NUMBERS)}@example.com"
    await invite(email)
    return email, await user_at(email)


async def guessed_at() -> tuple[str, int]:
    """Too many wrong passwords: LOGIN_LIMIT_ACCOUNT is one."""
    person = await make_person()
    with pytest.raises(WrongCredentials):
        await log_in.log_in(person.email, NEW, CLIENT, remember=False)
    with pytest.raises(TooManyGuesses):
        await log_in.log_in(person.email, NEW, CLIENT, remember=False)
    return person.email, person.id


async def nothing(user_id: int) -> None:
    pass


async def move(user_id: int) -> None:
    """Give the account another address, which has been proved."""
    actor = await signed_in(user_id)
    email = f"elsewhere{next(NUMBERS)}@example.com"
    secret = await link_of(user_id, Purpose.CHANGE_EMAIL, email)
    await email_change.confirm(secret, "", actor, CLIENT)


async def remove(user_id: int) -> None:
    async with db.transaction() as session:
        await session.execute(delete(User).where(User.id == user_id))


async def disable(user_id: int) -> None:
    async with db.transaction() as session:
        await service.disable_user(session, user_id)
