"""Confirmation of an email address by a mailed link, which proves the mailbox and nothing else.

Whoever opens the link also shows that the registration is their own, or sets the account up anew.
"""

import enum
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import acts, links, service
from app.accounts.passwords import bad_words
from app.accounts.schemas import SetUp
from app.auth import devices, sessions
from app.auth.hashing import passwords
from app.auth.identity import Client, Identity
from app.auth.models import Purpose, User
from app.auth.password_checks import Verified, WrongPassword, forget_guesses, require_password_of
from app.auth.sessions import NewSession
from app.database import db
from app.errors import DomainError
from app.trail import record
from app.validators.email_address import EmailAddress


class SetUpRequired(DomainError):
    """The link is of no registration that could be confirmed: a name and a password are chosen."""

    code = "set-up-required"
    message = "Choose a name and a password for this address."


class Proof(enum.StrEnum):
    """What shows that a registration is one's own, beside the mailbox that its link proves."""

    SHOWN = "shown"  # signed in to it, or in the browser that registered it
    PASSWORD = "password"  # noqa: S105  (still to be typed)
    NONE = "none"  # there is no such registration: a name and a password are chosen


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A link that confirms an address, and what whoever opens it has to show."""

    link: links.Link
    proof: Proof


async def look(session: AsyncSession, secret: str, actor: Identity, client: Client) -> Confirmation:
    """Return what a confirmation link is for, without consuming it. Raises `LinkExpired`."""
    link = await links.read_link(session, secret, Purpose.CONFIRM)
    user = await session.get(User, link.registration)
    if user is None or user.email != link.email or user.password_hash is None:
        return Confirmation(link, Proof.NONE)
    if actor.user_id == user.id or await devices.is_known(session, client.device, user.id):
        return Confirmation(link, Proof.SHOWN)
    return Confirmation(link, Proof.PASSWORD)


async def confirm(
    secret: str, password: str, actor: Identity, client: Client, *, replaces: Collection[str] = ()
) -> NewSession | None:
    """Consume a confirmation link and confirm the registration that it was mailed for.

    The link proves the mailbox. That the registration is their own, people show by being signed in
    to it, by the browser that they registered with, or by its password. Returns a new session,
    which takes the place of `replaces`, unless they are signed in to it. Raises `LinkExpired`,
    `SetUpRequired`, `WrongPassword`, `TooMany` or `Busy`.
    """
    async with db.session() as session:
        asked = await look(session, secret, actor, client)
    verified = None
    if asked.proof is Proof.NONE:
        raise SetUpRequired
    if asked.proof is Proof.PASSWORD:
        if not password:
            raise WrongPassword("Type the password that you registered with.", field="password")
        user_id = asked.link.registration
        guesser = ("confirmation", str(user_id))
        verified = await require_password_of(user_id, password, client, guesser=guesser)
    async with db.transaction() as session:
        user = await _confirm(session, secret, verified)
        if actor.user_id == user.id:
            return None
        shown = verified or Verified(user.id, str(user.password_hash))
        return await sessions.start_session(
            session, shown, client, remember=False, replaces=replaces, typed=verified is not None
        )


async def _confirm(session: AsyncSession, secret: str, verified: Verified | None) -> User:
    link, user = await links.use_confirmation(session, secret)
    if user is None or user.id != link.registration:
        raise links.LinkExpired
    if verified and user.password_hash != verified.password_hash:
        raise WrongPassword(field="password")
    user.email_as_typed = EmailAddress(link.email, link.recipient).differing
    user.confirmed = True
    record(session, acts.CONFIRMED, user.subject, actor=user.subject)
    await session.flush()
    return user


async def set_up(
    secret: str, chosen: SetUp, client: Client, *, replaces: Collection[str] = ()
) -> NewSession:
    """Consume a confirmation link and set up the account of its address anew.

    Whoever opens the link need not know who registered the address, or with which password: that
    account ends, with all that belongs to it. Returns a session, which takes the place of
    `replaces`. Raises `LinkExpired`, `WeakPassword` or `Busy`.
    """
    async with db.session() as session:
        link = await links.read_link(session, secret, Purpose.CONFIRM)
    password = chosen.password.get_secret_value()
    await passwords.require_strong(password, bad_words(link.email, chosen))
    password_hash = await passwords.hash(password)
    async with db.transaction() as session:
        user = await _replace(session, secret, chosen, password_hash)
        begun = await sessions.start_session(
            session, Verified(user.id, password_hash), client, remember=False, replaces=replaces
        )
    await forget_guesses(link.email, client)
    return begun


async def _replace(session: AsyncSession, secret: str, chosen: SetUp, password_hash: str) -> User:
    link, former = await links.use_confirmation(session, secret)
    user = User(
        email=link.recipient,
        password_hash=password_hash,
        confirmed=True,
        **service.own_fields(chosen),
    )
    if former is not None:
        user.role_id = former.role_id  # whoever gave it, gave it to the owner of the address
        await service.remove_user(session, former.id)
    session.add(user)
    try:
        await session.flush()
    except IntegrityError:  # a concurrent request was faster
        raise links.LinkExpired from None
    record(session, acts.SET_UP, user.subject, actor=user.subject)
    return user
