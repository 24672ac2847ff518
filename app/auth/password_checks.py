"""Checks of passwords, with limits that no stranger can fill for the owner of an account.

Wrong passwords are counted per account and guesser. Those of all strangers together have a second
limit, which known devices, sessions and holders of a link do not share.
"""

from dataclasses import dataclass

from sqlalchemy import Select, select, update

from app.auth import devices
from app.auth.hashing import Match, normal_password, passwords
from app.auth.identity import Client, Identity
from app.auth.lookup import with_email
from app.auth.models import User
from app.auth.tokens import digest, email_key
from app.config import DEFAULT_ADMIN_PASSWORD, settings
from app.database import db
from app.durations import in_words
from app.errors import DomainError, TooMany
from app.limits import limits, rate_limit_ip

Guesser = tuple[str, ...]  # the key of a limit
WRONG = "wrong passwords"


class WrongCredentials(DomainError):
    """No account has this email address and password. Never says which of the two is wrong."""

    code = "wrong-credentials"
    status = 401
    message = "The email address or the password is wrong."


class WrongPassword(DomainError):
    """A user was asked for their own password and gave another one."""

    code = "wrong-password"
    status = 403
    message = "This is not your password."


class TooManyGuesses(TooMany):
    """Strangers have tried too many passwords for one account; known devices still log in."""

    def __init__(self, error: TooMany) -> None:
        seconds = error.retry_after or 1
        super().__init__(
            "Too many wrong passwords were tried for this account. Try again in "
            f"{in_words(seconds)}. If the account is yours, you can also reset the password in "
            "this browser and log in here at once.",
            retry_after=seconds,
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """A user whose password was checked, and the hash that it was checked against."""

    user_id: int
    password_hash: str


async def authenticate(email: str, password: str, client: Client) -> Verified:
    """Check an email address, in any spelling, and a password, within the limits of log-ins.

    Opens short sessions of its own, since hashing must not happen inside a transaction. Attempts of
    one guesser are counted before they are checked, so that parallel ones cannot slip through. The
    wrong ones of all strangers are counted afterwards, so parallel ones may exceed that limit a
    little. Raises `WrongCredentials`, `TooMany` or `Busy`.
    """
    with passwords.queue_slot():
        account, ip = email_key(email), rate_limit_ip(client.ip)
        device = await _known_device(email, client)
        guesser = (account, device or ip)
        if not device:
            await limits.hit("login", settings.LOGIN_LIMIT_ADDRESS, ip, shared="log-ins")
        await limits.hit("login", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, *guesser, what=WRONG)
        if not device:
            await _count_stranger(account, is_guess=False)
        verified = await _verify(with_email(_enabled(), email), password, client)
        if verified is None:
            if not device:
                await _count_stranger(account, is_guess=True)
            raise WrongCredentials
        await limits.clear("login", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, *guesser)
        return verified


async def require_password(
    actor: Identity, password: str, client: Client, field: str = "password"
) -> Verified:
    """Check the password of a user who is signed in. Guesses are counted per session or token.

    Raises `WrongPassword` for this field of the form, `TooMany` or `Busy`.
    """
    return await require_password_of(
        actor.user_id, password, client, guesser=(str(actor.credential_id),), field=field
    )


async def require_password_of(
    user_id: int, password: str, client: Client, *, guesser: Guesser, field: str = "password"
) -> Verified:
    """Check the password of a user for somebody who has shown something else, such as a link.

    Wrong ones are counted under `guesser`, by LOGIN_LIMIT_ACCOUNT_ADDRESS. Raises `WrongPassword`
    for this field of the form, `TooMany` or `Busy`.
    """
    with passwords.queue_slot():
        await limits.hit("password", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, *guesser, what=WRONG)
        verified = await _verify(_enabled().where(User.id == user_id), password, client)
        if verified is None:
            raise WrongPassword(field=field)
        await limits.clear("password", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, *guesser)
        return verified


async def forget_guesses(email: str, client: Client) -> None:
    """Reset the counts of wrong passwords for an account, whose owner has just set a new one."""
    account = email_key(email)
    for guesser in (rate_limit_ip(client.ip), _device_key(client)):
        await limits.clear("login", settings.LOGIN_LIMIT_ACCOUNT_ADDRESS, account, guesser)
    await limits.clear("login", settings.LOGIN_LIMIT_ACCOUNT, account)


async def _known_device(email: str, client: Client) -> str:
    """Return the key of the client's device, or "" if the user does not know it."""
    if not client.device:
        return ""
    async with db.session() as session:
        user = (await session.execute(with_email(_enabled(), email))).one_or_none()
        # Asked for unknown users too, so that they take as long as known ones.
        is_known = await devices.is_known(session, client.device, user.id if user else 0)
    return _device_key(client) if is_known else ""


def _device_key(client: Client) -> str:
    return digest(client.device).hex()


async def _count_stranger(account: str, *, is_guess: bool) -> None:
    count = limits.hit if is_guess else limits.require_room
    try:
        await count("login", settings.LOGIN_LIMIT_ACCOUNT, account)
    except TooMany as error:
        raise TooManyGuesses(error) from None


async def _verify(query: Select[int, str | None], password: str, client: Client) -> Verified | None:
    async with db.session() as session:
        user = (await session.execute(query)).one_or_none()
    right = await passwords.verify(user.password_hash if user else None, password)
    if right is Match.OUTDATED and user:
        renewed = await passwords.hash(password)
        async with db.transaction() as session:
            same = (User.id == user.id, User.password_hash == user.password_hash)
            await session.execute(update(User).where(*same).values(password_hash=renewed))
            # A concurrent log-in or change of password may have been faster.
            user = (await session.execute(query)).one_or_none()
        if user and user.password_hash != renewed:
            right = await passwords.verify(user.password_hash, password)
    if normal_password(password) == DEFAULT_ADMIN_PASSWORD and not client.local:
        return None  # everybody knows it
    if not right or user is None or user.password_hash is None:
        return None
    return Verified(user.id, user.password_hash)


def _enabled() -> Select[int, str | None]:
    return select(User.id, User.password_hash).where(User.disabled_at.is_(None))
