"""The administration of people: finding them, and changing their accounts.

Every change is recorded in the trail, and the person learns by mail of those that concern their
access. Administrators' changes take turns (`roles.take_turn`): otherwise two who disable each other
at the same moment could leave none.
"""

import unicodedata
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from app.accounts import acts, links, notices, registration, roles, service
from app.accounts.passwords import bad_words
from app.accounts.people_schemas import (
    Invitee,
    NewPerson,
    PeopleQuery,
    PersonChange,
    PersonOut,
)
from app.accounts.schemas import FullName
from app.auth import acts as auth_acts
from app.auth import sessions
from app.auth.hashing import passwords
from app.auth.identity import Identity
from app.auth.models import Credential, Purpose, Role, User
from app.auth.scopes import require_session
from app.auth.states import AccountState
from app.database import db
from app.errors import DomainError, NotFound
from app.keyset import Order, Page, Part, Stage, begins_with, load
from app.mail import outbox
from app.preconditions import ANY, IfMatch
from app.trail import record
from app.validators.email_address import normalised
from app.validators.folding import MAX_KEY, folded

SHOWN = (Purpose.SESSION, Purpose.TOKEN)  # the credentials that administrators see and end

CREATED = (User.id,)
NAME = (User.name_key, User.id)
GIVEN_NAME = (User.given_name_key, User.id)
EMAIL = (User.email, User.id)
ORDERS = {
    "created": Order(CREATED),
    "-created": Order(CREATED, descending=True),
    "name": Order(NAME),
    "-name": Order(NAME, descending=True),
    "email": Order(EMAIL),
    "-email": Order(EMAIL, descending=True),
}


class NotYourself(DomainError):
    """The act would lock out the administrator who asks for it."""

    code = "not-yourself"
    message = "This is your own account. Ask another administrator to do this."


class WrongState(DomainError):
    """The account is not in the state that the act is for."""

    code = "wrong-state"


async def list_people(session: AsyncSession, wanted: PeopleQuery) -> Page[User]:
    """Return a page of people with their roles.

    `q` finds what an address, a last name or a first name begins with, in that order, in any case
    and without accents. Raises `UnknownRole` or `BadCursor`.
    """
    parts: list[Part] = [()]
    if wanted.role or wanted.state:
        chosen = (
            [await roles.role_named(session, wanted.role)]
            if wanted.role
            else await roles.list_roles(session)
        )
        states = [wanted.state] if wanted.state else list(AccountState)
        parts = [
            (User.role_id == role.id, User.state == state) for role in chosen for state in states
        ]
    stages = [Stage(ORDERS[wanted.sort], parts)]
    if wanted.q and folded(wanted.q):  # not blanks alone
        stages = _search(wanted.q, parts)
    return await load(session, _with_role(), stages, wanted)


def _search(text: str, parts: Sequence[Part]) -> list[Stage]:
    name, email = folded(text)[:MAX_KEY], unicodedata.normalize("NFC", normalised(text))
    found = (
        (Order(EMAIL), begins_with(User.email, email)),
        (Order(NAME), begins_with(User.name_key, name)),
        (Order(GIVEN_NAME), begins_with(User.given_name_key, name)),
    )
    stages: list[Stage] = []
    before: list[ColumnElement[bool]] = []
    for order, condition in found:
        stages.append(Stage(order, [(*part, condition, *before) for part in parts]))
        # An earlier stage has listed these already.
        before.append(~condition)
    return stages


def _with_role() -> Select[User]:
    return select(User).join(Role, User.role_id == Role.id).options(contains_eager(User.role))


async def get_person(session: AsyncSession, user_id: int) -> User:
    """Return a person with their role. Raises `NotFound`."""
    # The role of a user who is loaded already may have changed in this transaction.
    query = _with_role().where(User.id == user_id).execution_options(populate_existing=True)
    found = await session.execute(query)
    if (user := found.scalar_one_or_none()) is None:
        raise NotFound("There is no such account, or it was deleted.")
    return user


async def list_credentials(session: AsyncSession, user_id: int) -> Sequence[Credential]:
    """Return somebody's valid sessions and tokens, most recently used first, at most 100 of each.

    However many sessions there are, no token is left out.
    """
    found = [
        row
        for purpose in SHOWN
        for row in await sessions.list_credentials(session, user_id, purpose)
    ]
    return sorted(found, key=lambda row: row.last_used_at, reverse=True)


async def invite(session: AsyncSession, actor: Identity, person: Invitee) -> User:
    """Create an account without a password, and mail an invitation. Raises `EmailTaken`."""
    await roles.take_turn(session, actor)
    return await registration.invite_user(
        session,
        email=person.email,
        first_name=person.first_name,
        last_name=person.last_name,
        role=await roles.role_named(session, person.role) if person.role else None,
    )


async def create(actor: Identity, person: NewPerson) -> User:
    """Create a confirmed account with a password that its owner must change at the first log-in.

    They learn by mail that they have an account, but not its password. Raises `EmailTaken`,
    `WeakPassword` or `Busy`.
    """
    password = person.password.get_secret_value()
    await passwords.require_strong(password, bad_words(person.email, person))
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        await roles.take_turn(session, actor)
        await service.make_way(session, person.email)
        user = await service.create_user(
            session,
            email=person.email,
            first_name=person.first_name,
            last_name=person.last_name,
            password_hash=password_hash,
            confirmed=True,
            role=await roles.role_named(session, person.role) if person.role else None,
        )
        user.must_change_password = True
        await session.flush()
        user = await get_person(session, user.id)
        record(session, acts.CREATED, user.subject, after={"role": user.role.name})
        await notices.tell(session, user, "created")
        return user


async def change(
    session: AsyncSession,
    actor: Identity,
    user_id: int,
    data: PersonChange,
    expected: IfMatch = ANY,
) -> User:
    """Change somebody's name, address or role: those that were sent.

    Raises `NotFound`, `Outdated`, `EmailTaken`, `UnknownRole` or `NotYourself`.
    """
    await roles.take_turn(session, actor)
    user = await _expected_person(session, user_id, expected)
    sent = data.model_dump(include=set(FullName.model_fields), exclude_unset=True)
    if sent:
        service.write_name(session, user, sent)
    if data.email:
        await _change_email(session, actor, user, data.email)
    if data.role:
        await give_role(session, actor, user, await roles.role_named(session, data.role))
    await session.flush()
    return await get_person(session, user_id)


async def _change_email(session: AsyncSession, actor: Identity, user: User, email: str) -> None:
    if normalised(email).as_typed == user.recipient:
        return
    if user.id == actor.user_id:  # a mistyped one would lock them out
        raise NotYourself("This is your own account. Change its address on your account's pages.")
    if normalised(email) != user.email:  # else it is only spelled differently
        await service.make_way(session, email)
    before, former, was_confirmed = user.email, user.address, user.confirmed
    await service.end_confirmations(session, before)
    user.email = email
    try:
        await session.flush()
    except IntegrityError:  # a concurrent request was faster
        raise service.EmailTaken from None
    revoked = service.REVOCABLE - {Purpose.TOKEN}
    await service.revoke_credentials(session, user.id, revoked)
    record(
        session,
        acts.EMAIL_CHANGED,
        user.subject,
        before={"email": before},
        after={"email": user.email},
    )
    if was_confirmed:  # else it may be a stranger's
        await notices.tell(session, user, "moved", to=former, email=user.recipient)
    if user.is_invited and not user.disabled_at:  # the link that they had has ended
        await links.mail_link(session, user, Purpose.INVITE)
    else:
        await notices.tell(session, user, "address")


async def give_role(session: AsyncSession, actor: Identity, user: User, role: Role) -> None:
    """Give somebody another role, and tell them. Raises `NotYourself`."""
    if user.role_id == role.id:
        return
    if user.id == actor.user_id:
        raise NotYourself
    before = (await roles.get_role(session, user.role_id)).name
    user.role_id = role.id
    was, now = {"role": before}, {"role": role.name}
    record(session, acts.ROLE_CHANGED, user.subject, before=was, after=now)
    await notices.tell(session, user, "role", role=role.name)


async def disable(session: AsyncSession, actor: Identity, user_id: int) -> None:
    """Shut somebody out at once, and tell them. Raises `NotFound` or `NotYourself`."""
    await roles.take_turn(session, actor)
    await disable_user(session, actor, await service.get_user(session, user_id, lock=True))


async def disable_user(session: AsyncSession, actor: Identity, user: User) -> None:
    """Do what `disable` does. The caller has taken its turn and locked the user's row."""
    if user.id == actor.user_id:
        raise NotYourself
    if user.disabled_at:
        raise WrongState("This account is disabled already.")
    await service.disable_user(session, user.id)
    await notices.tell(session, user, "disabled")


async def enable(session: AsyncSession, actor: Identity, user_id: int) -> None:
    """Let somebody log in again, and tell them. Raises `NotFound` or `WrongState`."""
    await roles.take_turn(session, actor)
    await enable_user(session, actor, await service.get_user(session, user_id, lock=True))


async def enable_user(session: AsyncSession, actor: Identity, user: User) -> None:
    """Do what `enable` does. The caller has taken its turn and locked the user's row."""
    if not user.disabled_at:
        raise WrongState("This account is not disabled.")
    await service.enable_user(session, user.id)
    await notices.tell(session, user, "enabled")


async def confirm(session: AsyncSession, actor: Identity, user_id: int) -> None:
    """Confirm somebody's address by hand: the administrator knows that it is theirs.

    Raises `NotFound`, or `WrongState` if there is nothing to confirm.
    """
    await roles.take_turn(session, actor)
    user = await service.get_user(session, user_id, lock=True)
    if user.confirmed or user.disabled_at or user.is_invited:
        raise WrongState("Only an address that is waiting for its confirmation can be confirmed.")
    user.confirmed = True
    await service.end_confirmations(session, user.email)
    record(session, acts.CONFIRMED, user.subject)


async def send_reset(session: AsyncSession, actor: Identity, user_id: int) -> None:
    """Mail somebody a link that sets a new password. Raises `NotFound` or `WrongState`."""
    await roles.take_turn(session, actor)
    user = await service.get_user(session, user_id, lock=True)
    if user.disabled_at:
        raise WrongState("This account is disabled. Enable it first.")
    if user.is_invited:
        raise WrongState("This person has no password yet. Send the invitation again instead.")
    record(session, acts.RESET_SENT, user.subject)
    # By the job of ordinary resets: it mails unconfirmed accounts a link to set them up instead.
    await outbox.post(session, "accounts.send_password_reset", user.address, user_id=user.id)


async def invite_again(session: AsyncSession, actor: Identity, user_id: int) -> None:
    """Mail an invitation once more. Raises `NotFound` or `WrongState`."""
    await roles.take_turn(session, actor)
    user = await service.get_user(session, user_id, lock=True)
    _require_invited(user)
    record(session, acts.INVITED, user.subject)
    await links.mail_link(session, user, Purpose.INVITE)


async def cancel_invitation(session: AsyncSession, actor: Identity, user_id: int) -> None:
    """Delete the account of somebody who has not accepted yet; their links end.

    Raises `NotFound` or `WrongState`.
    """
    await roles.take_turn(session, actor)
    user = await service.get_user(session, user_id, lock=True)
    _require_invited(user)
    await service.remove_user(session, user.id)


def _require_invited(user: User) -> None:
    if not user.is_invited or user.disabled_at:
        raise WrongState("This person has no invitation that is open.")


async def end_session(
    session: AsyncSession, actor: Identity, user_id: int, credential_id: UUID
) -> None:
    """End one of somebody's sessions or tokens. Raises `NotFound` or `SessionRequired`."""
    require_session(actor)
    await roles.take_turn(session, actor)
    user = await service.get_user(session, user_id, lock=True)
    await sessions.end_credential(session, user.subject, credential_id, *SHOWN)


async def end_sessions(session: AsyncSession, actor: Identity, user_id: int) -> None:
    """End all of somebody's sessions and tokens, and forget their devices.

    Raises `NotFound`, `NotYourself` or `SessionRequired`.
    """
    await roles.take_turn(session, actor)
    await end_sessions_of(session, actor, await service.get_user(session, user_id, lock=True))


async def end_sessions_of(session: AsyncSession, actor: Identity, user: User) -> None:
    """Do what `end_sessions` does. The caller has taken its turn and locked the user's row."""
    require_session(actor)
    if user.id == actor.user_id:
        raise NotYourself("These are your own sessions. End them on the pages of your account.")
    await service.revoke_credentials(session, user.id, (*SHOWN, Purpose.DEVICE))
    record(session, auth_acts.SESSIONS_REVOKED, user.subject)


async def delete_person(
    session: AsyncSession, actor: Identity, user_id: int, expected: IfMatch = ANY
) -> None:
    """Delete somebody's account with everything that belongs to it, and tell them.

    Raises `NotFound`, `Outdated` or `NotYourself`.
    """
    await roles.take_turn(session, actor)
    await delete_user(session, actor, await _expected_person(session, user_id, expected))


async def _expected_person(session: AsyncSession, user_id: int, expected: IfMatch) -> User:
    """Lock somebody's row and return it with their role. Raises `NotFound` or `Outdated`."""
    await service.get_user(session, user_id, lock=True)
    user = await get_person(session, user_id)
    expected.require(lambda: PersonOut.of(user))
    return user


async def delete_user(session: AsyncSession, actor: Identity, user: User) -> None:
    """Do what `delete_person` does. The caller has taken its turn and locked the user's row."""
    if user.id == actor.user_id:
        raise NotYourself("This is your own account. Delete it on the pages of your account.")
    if user.confirmed:
        await service.end_confirmations(session, user.email)
        await notices.tell(session, user, "deleted")
    await service.remove_user(session, user.id)
