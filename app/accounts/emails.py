"""The emails of accounts."""

from app.auth.models import User
from app.durations import in_words
from app.mail.message import Email


def password_changed(user: User, link: str) -> Email:
    """Tell a user that their password was changed; `link` resets it if that was not them."""
    return mailed_link(
        "Your password has been changed",
        "accounts/email/password_changed",
        user,
        user.recipient,
        link,
    )


def already_registered(user: User, link: str, reset_link: str) -> Email:
    """Tell a user that somebody tried to use their address for another account."""
    template = "accounts/email/already_registered"
    return mailed_link(
        "You already have an account", template, user, user.recipient, link, reset_link=reset_link
    )


def mailed_link(
    subject: str, template: str, user: User, to: str, link: str, lifetime: int = 0, **more: str
) -> Email:
    """Build an email about a link that works for `lifetime` seconds: see `links.MAILS`."""
    return Email(
        to=to,
        subject=subject,
        template=template,
        user=user,
        link=link,
        address=to,
        time=in_words(lifetime),
        **more,
    )
