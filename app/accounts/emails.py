"""What accounts say by mail. A link works for `lifetime` seconds."""

from app.accounts.models import User
from app.mail import Email


def confirmation(user: User, to: str, link: str, lifetime: int) -> Email:
    """To somebody new: confirm your address."""
    return _mail("Confirm your account", "accounts/email/confirmation", user, to, link, lifetime)


def reset(user: User, to: str, link: str, lifetime: int) -> Email:
    """To whoever has forgotten their password."""
    return _mail("Reset your password", "accounts/email/reset", user, to, link, lifetime)


def change_of_email(user: User, to: str, link: str, lifetime: int) -> Email:
    """To the address that somebody wants to have: confirm that it is yours."""
    return _mail("Confirm your new email", "accounts/email/change_of_email", user, to, link, lifetime)


def objection(user: User, to: str, link: str, lifetime: int) -> Email:
    """To the address that somebody has, when another one is asked for: here is how to object."""
    return _mail("Your e-mail address is about to change", "accounts/email/objection", user, to, link, lifetime)


def invitation(user: User, to: str, link: str, lifetime: int) -> Email:
    """To somebody for whom an account was made: choose a password."""
    return _mail("You are invited to join", "accounts/email/invitation", user, to, link, lifetime)


def password_changed(user: User, link: str) -> Email:
    """To somebody whose password is another one now; the link is for the case that it was not them."""
    return _mail("Your password has been changed", "accounts/email/password_changed", user, user.email, link)


def already_registered(user: User, link: str, reset_link: str) -> Email:
    """To somebody who has an account, when their address is wanted for another one."""
    return _mail(
        "You have an account already",
        "accounts/email/already_registered",
        user,
        user.email,
        link,
        reset_link=reset_link,
    )


def _mail(subject: str, template: str, user: User, to: str, link: str, lifetime: int = 0, **context: str) -> Email:
    minutes = max(1, lifetime // 60)
    size, unit = next(each for each in ((1440, "day"), (60, "hour"), (1, "minute")) if minutes % each[0] == 0)
    return Email(
        to=to,
        subject=subject,
        template=template,
        user=user,
        link=link,
        address=to,
        time=f"{minutes // size} {unit}{'' if minutes == size else 's'}",
        **context,
    )
