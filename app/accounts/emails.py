"""What accounts say by mail."""

from app.accounts.models import User
from app.config import HOUR
from app.mail import Email


def confirmation(user: User, link: str, lifetime: int) -> Email:
    """To somebody new: the link that confirms their address, for so many seconds."""
    return Email(
        to=user.email,
        subject="Confirm your account",
        template="accounts/email/confirmation",
        user=user,
        link=link,
        hours=max(1, lifetime // HOUR),
    )


def already_registered(user: User, link: str) -> Email:
    """To somebody who has an account, when their address is registered once more."""
    return Email(
        to=user.email,
        subject="You have an account already",
        template="accounts/email/already_registered",
        user=user,
        link=link,
    )
