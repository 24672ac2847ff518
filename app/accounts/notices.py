"""Mails that tell people what was done to their account: by an administrator, or in their name."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.emails import greeting
from app.auth.models import Credential, User
from app.mail import outbox
from app.mail.message import link
from app.validators.email_address import EmailAddress

# What an administrator did → the subject of the mail that tells of it, and its words.
ADMINISTERED = {
    "created": (
        "You have an account",
        "An administrator has made an account for you, with a password that they give you. When "
        "you first log in, you choose one of your own.",
    ),
    "moved": (
        "Your address has been changed",
        "An administrator has changed the address of your account to {email}.",
    ),
    "address": (
        "This is the address of your account now",
        "An administrator has made this the address of your account. You log in with it.",
    ),
    "role": ("Your role has been changed", "An administrator has given you the role {role}."),
    "disabled": (
        "Your account has been disabled",
        "An administrator has disabled your account: you can no longer log in.",
    ),
    "enabled": (
        "Your account is enabled again",
        "An administrator has enabled your account again: you can log in.",
    ),
    "deleted": (
        "Your account has been deleted",
        "An administrator has deleted your account, with everything that belonged to it.",
    ),
}


async def tell(
    session: AsyncSession, user: User, act: str, to: EmailAddress | None = None, **values: str
) -> None:
    """Mail a user what an administrator did to their account, once this transaction is committed.

    `act` is a key of `ADMINISTERED`, and `values` fill in its words. `to` is an address in place of
    the account's.
    """
    subject, happened = ADMINISTERED[act]
    await outbox.notify(
        session,
        to or user.address,
        subject=subject,
        template="accounts/email/administered",
        name=greeting(user),
        happened=happened.format(**values),
        link="" if act == "deleted" else link("accounts.login"),
    )


async def tell_token_made(session: AsyncSession, user: User, token: Credential) -> None:
    """Mail a user that an API token was made for their account: which one, never its secret."""
    await outbox.notify(
        session,
        user.address,
        subject="A token was made for your account",
        template="accounts/email/token_made",
        name=greeting(user),
        token=token.label,
        scopes=(token.scopes or "").replace(" ", ", "),
        expires=f"{token.expires_at:%d %b %Y}",
        link=link("accounts.manage_tokens"),
        reset_link=link("accounts.reset_password"),
    )
