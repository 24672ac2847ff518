"""Why a route refuses somebody."""

from app.errors import DomainError


class NotSignedIn(DomainError):
    """The route needs somebody who is signed in. Pages redirect to log in, the API answers 401."""

    code = "not-signed-in"
    status = 401
    message = "Log in to continue."


class Forbidden(DomainError):
    """The route is not for this user."""

    code = "forbidden"
    status = 403
    message = "Your role does not allow this."


class AlreadySignedIn(Forbidden):
    """The form is for those who are not signed in. Pages offer to log out."""

    code = "already-signed-in"


class NotConfirmed(Forbidden):
    """The route needs a confirmed email. Pages redirect to `/account/unconfirmed`."""

    code = "not-confirmed"
    message = "Confirm your email address first: open the link that was mailed to you."


class PasswordOutdated(Forbidden):
    """The user must choose a password first. Pages redirect to where they do."""

    code = "password-change-required"
    message = "Choose a password of your own first."


class NotRecent(Forbidden):
    """The route needs a recent re-authentication. Pages ask for the password, then return."""

    code = "reauthentication-required"
    message = "Enter your password again first."
