"""The emails of accounts.

A mail greets by name only whoever has proved that the mailbox is theirs. Otherwise a stranger could
register somebody else's address and have words of their own mailed to it.
"""

from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import Purpose, User
from app.durations import in_words
from app.mail import outbox
from app.mail.message import Email, link
from app.validators.email_address import EmailAddress

# Purpose → the page that the link opens, and the subject and template of its email.
LINKS = {
    Purpose.CONFIRM: (
        "accounts.confirm_account",
        "Confirm your account",
        "accounts/email/confirmation",
    ),
    Purpose.RESET: ("accounts.set_password", "Reset your password", "accounts/email/reset"),
    Purpose.CHANGE_EMAIL: (
        "accounts.confirm_change_of_email",
        "Confirm your new email",
        "accounts/email/change_of_email",
    ),
    Purpose.INVITE: (
        "accounts.join_from_invite",
        "You are invited to join",
        "accounts/email/invitation",
    ),
    Purpose.OBJECT: (
        "accounts.keep_email",
        "Your email address is about to change",
        "accounts/email/email_change_notice",
    ),
}
# Mailed in place of CONFIRM's where the registration may be a stranger's.
SET_UP = ("accounts.set_up", "Set up your account", "accounts/email/set_up")


def mailed_link(
    purpose: Purpose, to: EmailAddress, secret: str, lifetime: int, *, name: str, set_up: bool
) -> Email:
    """Build the email with a link that works for `lifetime` seconds."""
    endpoint, subject, template = SET_UP if set_up else LINKS[purpose]
    return Email(
        to=to.as_typed,
        subject=subject,
        template=template,
        name=name,
        link=link(endpoint, token=secret),
        time=in_words(lifetime),
    )


def already_registered(user: User) -> Email:
    """Tell a user that somebody tried to use their address for another account."""
    return Email(
        to=user.recipient,
        subject="You already have an account",
        template="accounts/email/already_registered",
        name=greeting(user),
        link=link("accounts.login"),
        reset_link=link("accounts.reset_password"),
    )


def guessing(user: User) -> Email:
    """Tell a user that strangers have tried many passwords for their account."""
    return Email(
        to=user.recipient,
        subject="Somebody is guessing at your password",
        template="accounts/email/guessing",
        name=greeting(user),
        link=link("accounts.reset_password"),
    )


async def tell_password_changed(session: AsyncSession, user: User) -> None:
    """Tell a user, as of this transaction, that their password was changed."""
    await outbox.notify(
        session,
        user.address,
        subject="Your password has been changed",
        template="accounts/email/password_changed",
        name=greeting(user),
        link=link("accounts.reset_password"),
    )


async def tell_address_lost(session: AsyncSession, lost: EmailAddress) -> None:
    """Tell the owner of an address that an account has gone back to another one."""
    await outbox.notify(
        session,
        lost,
        subject="Your address is no longer used here",
        template="accounts/email/address_lost",
        link=link("accounts.register"),
    )


def greeting(user: User) -> str:
    """Return the name to greet a user by, "" until they have proved their address."""
    return user.first_name if user.confirmed else ""
