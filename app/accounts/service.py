"""Roles, and the accounts of users."""

from collections.abc import Collection, Mapping
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import case, delete, literal, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import acts
from app.accounts.names import clean_name
from app.accounts.roles import ADMINISTRATOR, administrators, role_of, wait_turn
from app.accounts.schemas import AccountOut, FullName, Registration
from app.auth import devices, sessions
from app.auth.acting import lock_actor
from app.auth.identity import Client, Identity
from app.auth.lookup import with_email
from app.auth.models import (
    Credential,
    Purpose,
    Role,
    User,
)
from app.auth.password_checks import WrongPassword, require_password
from app.auth.states import AccountState
from app.database import Base, db, insert_into, utcnow
from app.errors import DomainError, NotFound
from app.mail import outbox
from app.mail.models import OutboxMail
from app.preconditions import ANY, IfMatch
from app.trail import PERSON, Subject, erase, record
from app.validators.email_address import EmailAddress, email_address
from app.validators.folding import name_keys

# The link that reverts a change of email is not revoked with the rest: else whoever took an account
# over would revoke it first. Known devices stay: their cookies log nobody in.
REVOCABLE = frozenset(Purpose) - {Purpose.OBJECT, Purpose.DEVICE}
# The jobs that mail links; notices are not among them.
LINK_MAILS = ("accounts.send_registration", "accounts.send_password_reset")
SECRET_COLUMNS = {"password_hash", "digest", "pending"}  # not part of a data export


class EmailTaken(DomainError):
    """Another account has this email address."""

    code = "email-taken"
    message, field = "An account with this email address already exists.", "email"


class LastAdministrator(DomainError):
    """The only administrator cannot be removed."""

    code = "last-administrator"
    message = "You are the only administrator. Make someone else an administrator first."


async def get_user(session: AsyncSession, user_id: int, *, lock: bool = False) -> User:
    """Return a user, with `lock` for update. Raises `NotFound` if they do not exist."""
    user = await session.get(User, user_id, with_for_update=lock or None)
    if user is None:
        raise NotFound("This account no longer exists.")
    return user


async def find_user(session: AsyncSession, email: str, *, lock: bool = False) -> User | None:
    """Return the user of an email address in any spelling, with `lock` for update, or None."""
    query = with_email(select(User), email)
    query = query.with_for_update() if lock else query
    return (await session.execute(query)).scalar_one_or_none()


async def has_administrator(session: AsyncSession) -> bool:
    """Return whether there is an administrator."""
    return (await session.execute(administrators().limit(1))).first() is not None


async def create_user(
    session: AsyncSession,
    *,
    email: str,
    first_name: str,
    last_name: str,
    password_hash: str | None,
    confirmed: bool,
    role: Role | None = None,
) -> User:
    """Create an account, with the default role unless another one is given.

    Raises `EmailTaken`, and `ValueError` for a name that `names.clean_name` refuses.
    """
    if await find_user(session, email):
        raise EmailTaken
    user = User(
        email=email,
        first_name=clean_name(first_name),
        last_name=clean_name(last_name),
        password_hash=password_hash,
        confirmed=confirmed,
    )
    if role:
        user.role_id = role.id
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError:  # a concurrent request was faster
        raise EmailTaken from None
    return user


async def make_way(session: AsyncSession, email: str) -> None:
    """Remove the account of an address that anybody may have registered.

    It stands in nobody's way who is given the address. Raises `EmailTaken` for any other account.
    """
    found = await find_user(session, email, lock=True)
    if found and not found.is_unproven:
        raise EmailTaken
    if found:
        await remove_user(session, found.id)


async def add_unconfirmed(
    session: AsyncSession, person: Registration, password_hash: str, device: str
) -> int:
    """Create an unconfirmed account that knows a device, and return its id.

    Returns 0 if the address has an account already. To the clock that is the same: an account with
    a random address is then created instead, and undone.
    """
    address = email_address(person.email)
    is_taken = with_email(select(User.id), person.email).exists()
    user = own_fields(person) | {
        "email": case((is_taken, f"{uuid4()}@invalid"), else_=str(address)),
        "email_as_typed": address.differing,
        "password_hash": password_hash,
        "confirmed": False,
    }
    statement = insert_into(session, User).values(user).on_conflict_do_nothing()
    returned = statement.returning(User.id, User.email)
    savepoint = await session.begin_nested()
    row = (await session.execute(returned)).one_or_none()  # None: a concurrent request was faster
    await devices.remember(session, device, row.id if row else 0)
    name = f"{person.first_name} {person.last_name}"
    registered = Subject(PERSON, row.id if row else 0, name, str(address))
    record(session, acts.REGISTERED, registered)
    await session.flush()  # the entry is written, and undone, with the rest
    if row and row.email == str(address):
        await savepoint.commit()
        return cast(int, row.id)
    await savepoint.rollback()
    return 0


def own_fields(person: FullName) -> dict[str, Any]:
    """Return what people say about themselves: every field of `FullName`, as columns of `User`."""
    said = {name: getattr(person, name) for name in FullName.model_fields}
    return said | name_keys(person.first_name, person.last_name)


async def addressee(session: AsyncSession, email: str) -> tuple[int, EmailAddress]:
    """Return the id and the address of the user that a mail is for, as things stand now.

    For an address without an account that is 0 and no address: what strangers type is not kept. The
    database answers with one row in either case, so that the time this takes tells nothing.
    """
    found = with_email(select(User.id, User.email, User.email_as_typed), email).subquery()
    always = select(literal(1).label("one")).subquery()
    query = select(found).select_from(always.outerjoin(found, true()))
    user_id, stored, as_typed = (await session.execute(query)).one()
    return user_id or 0, EmailAddress(stored or "", as_typed)


async def still_addressed(
    session: AsyncSession, mail: OutboxMail, *, lock: bool = False
) -> User | None:
    """Return the user that `addressee` named for a mail, with `lock` for update.

    Returns None if the account has gone, is disabled or has another address by now.
    """
    user = await session.get(User, mail.content["user_id"], with_for_update=lock or None)
    if user is None or user.disabled_at or user.email != mail.email:
        return None
    return user


async def disable_user(session: AsyncSession, user_id: int) -> None:
    """Shut a user out, in every process at once. Raises `NotFound`.

    All their credentials end, and the links mailed to their address: `enable_user` brings none of
    them back.
    """
    user = await get_user(session, user_id, lock=True)
    if user.disabled_at is None:
        user.disabled_at = utcnow()
        record(session, acts.DISABLED, user.subject)
    await revoke_credentials(session, user.id, frozenset(Purpose))
    await end_confirmations(session, user.email)


async def enable_user(session: AsyncSession, user_id: int) -> None:
    """Let a disabled user log in again, with their password or a link mailed from now on."""
    user = await get_user(session, user_id, lock=True)
    if user.disabled_at:
        user.disabled_at = None
        record(session, acts.ENABLED, user.subject)


async def make_administrator(session: AsyncSession, email: str, password_hash: str) -> bool:
    """Create a confirmed administrator, or give an account that role and this password.

    All credentials of an existing account end. Returns whether the account is new.
    """
    await wait_turn(session)
    user, role = await find_user(session, email, lock=True), await role_of(session, ADMINISTRATOR)
    if user is None:
        user = await create_user(
            session,
            email=email,
            first_name="Admin",
            last_name="Account",
            password_hash=password_hash,
            confirmed=True,
            role=role,
        )
        record(session, acts.CREATED, user.subject, after={"role": role.name})
        return True
    if not user.confirmed:  # a stranger may have chosen the name
        user.first_name, user.last_name = "Admin", "Account"
    user.role_id = role.id
    user.password_hash, user.confirmed, user.disabled_at = password_hash, True, None
    user.must_change_password = False
    # Whoever could revert a change of email would get the role.
    await revoke_credentials(session, user.id, frozenset(Purpose))
    await end_confirmations(session, user.email)
    record(session, acts.PROMOTED, user.subject)
    return False


async def revoke_credentials(
    session: AsyncSession, user_id: int, purposes: Collection[Purpose] = REVOCABLE
) -> None:
    """Expire a user's sessions, API tokens and mailed links at once."""
    revoked = (Credential.user_id == user_id, Credential.purpose.in_(purposes))
    await session.execute(update(Credential).where(*revoked).values(expires_at=utcnow()))


async def end_confirmations(session: AsyncSession, email: str) -> None:
    """Expire the links that confirm an address, which belong to no user.

    Links to the address that have been asked for, but not mailed yet, are not mailed any more.
    """
    await outbox.withdraw(session, email, LINK_MAILS)
    mailed = (Credential.email == email, Credential.purpose == Purpose.CONFIRM)
    await session.execute(update(Credential).where(*mailed).values(expires_at=utcnow()))


async def rename_user(
    session: AsyncSession, actor: Identity, name: FullName, expected: IfMatch = ANY
) -> AccountOut:
    """Change the actor's name, and return their account. Raises `NoLongerSignedIn` or `Outdated`.

    What was not sent stays as it is: a product may add fields that some clients do not know.
    """
    user = await lock_actor(session, actor)
    role = await session.get_one(Role, user.role_id)
    expected.require(lambda: AccountOut.of(user, role.name))
    if values := name.model_dump(exclude_unset=True):
        write_name(session, user, values)
    return AccountOut.of(user, role.name)


def write_name(session: AsyncSession, user: User, values: Mapping[str, Any]) -> None:
    """Write what somebody says about themselves, and record it. The user's row is locked."""
    before = {name: getattr(user, name) for name in values}
    for name, value in values.items():
        setattr(user, name, value)
    record(session, acts.RENAMED, user.subject, before=before, after=values)


async def export_account(session: AsyncSession, actor: Identity) -> dict[str, Any]:
    """Return the actor's row of `users`, without secrets, and the name of their role."""
    return _plain(await get_user(session, actor.user_id)) | {"role": actor.role_name}


async def export_credentials(session: AsyncSession, actor: Identity) -> list[dict[str, Any]]:
    """Return the actor's newest sessions, tokens and devices, at most 1,000, without their secrets.

    Mailed links are left out: whether one was prepared for another address would tell whether that
    address has an account.
    """
    purposes = (Purpose.SESSION, Purpose.TOKEN, Purpose.DEVICE)
    mine = (Credential.user_id == actor.user_id, Credential.purpose.in_(purposes))
    newest = select(Credential).where(*mine).order_by(Credential.created_at.desc()).limit(1000)
    return [_plain(each) for each in (await session.execute(newest)).scalars()]


async def delete_account(actor: Identity, password: str, client: Client) -> None:
    """Check the actor's password, and delete their account with everything that belongs to it.

    Raises `WrongPassword`, `LastAdministrator`, `TooMany` or `Busy`.
    """
    verified = await require_password(actor, password, client)
    async with db.transaction() as session:
        await wait_turn(session)  # so that the last two cannot delete themselves at once
        await _require_another_administrator(session, actor.user_id)
        if await sessions.lock_user(session, actor, verified) is None:
            raise WrongPassword(field="password")
        await remove_user(session, actor.user_id)
        if actor.confirmed:
            # Those of an address that nobody has proved may be somebody else's: they stay.
            await end_confirmations(session, actor.email)


async def _require_another_administrator(session: AsyncSession, user_id: int) -> None:
    """Raise `LastAdministrator` if this user is the only administrator who can log in."""
    mine = administrators().where(User.id == user_id)  # now: the role of a request may be older
    others = administrators().where(User.state == AccountState.ACTIVE, User.id != user_id)
    if (await session.execute(mine)).first() and not (await session.execute(others)).first():
        raise LastAdministrator


async def remove_user(session: AsyncSession, user_id: int) -> None:
    """Delete an account with everything that belongs to it, and what names it in the trail."""
    await session.execute(delete(User).where(User.id == user_id))
    record(session, acts.DELETED, Subject(PERSON, user_id))
    await session.flush()  # what this transaction has recorded is erased as well
    await erase(session, user_id)


def _plain(row: Base) -> dict[str, Any]:
    return {
        column.name: getattr(row, column.name)
        for column in row.__table__.columns
        if column.name not in SECRET_COLUMNS
    }
