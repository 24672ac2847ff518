"""Scopes: what an API token may do, of all that its owner may do."""

import enum
from collections.abc import Collection

from app.auth.identity import Identity
from app.auth.models import Permission, Purpose
from app.errors import DomainError


class Scope(enum.StrEnum):
    """What an API token may do: see, change, act as an administrator."""

    READ = "read"
    WRITE = "write"
    ADMINISTER = "administer"


LABELS = {  # on the page that makes tokens
    Scope.READ: "Read: see what you can see",
    Scope.WRITE: "Write: change what you can change",
    Scope.ADMINISTER: "Administer: also act as an administrator (needs Read or Write)",
}


class SessionRequired(DomainError):
    """An API token cannot do this, whatever its scopes are."""

    code = "session-required"
    status = 403
    message = "An API token cannot do this. Log in, and do it in that session."


class InsufficientScope(DomainError):
    """The token lacks a scope that the route needs."""

    code = "insufficient-scope"
    status = 403
    message = "This needs a token with the scope write."  # for example

    def __init__(self, needed: Collection[str]) -> None:
        names = " and ".join(needed)
        super().__init__(
            f"This needs a token with the scope{'s' if len(needed) > 1 else ''} {names}."
        )
        self.challenge = f'error="insufficient_scope", scope="{" ".join(needed)}"'


class InvalidToken(DomainError):
    """The bearer token is nobody's: it is mistyped, unknown, or has ended."""

    code = "invalid-token"
    status = 401
    message = "This token is unknown, or it has ended. Make another one."
    challenge = 'error="invalid_token"'

    def __init__(self, *, is_whole: bool) -> None:
        incomplete = "This token is mistyped or incomplete. Copy it again, all of it."
        super().__init__(None if is_whole else incomplete)


def within(scopes: Collection[str], permissions: Permission) -> Permission:
    """Return what is left of the permissions of a role for a token with these scopes."""
    administers = permissions & Permission.ADMINISTER == Permission.ADMINISTER
    if administers and Scope.ADMINISTER not in scopes:
        return Permission.GENERAL
    return permissions


def require_session(actor: Identity) -> None:
    """Raise `SessionRequired` for whoever acts with an API token."""
    if actor.purpose is not Purpose.SESSION:
        raise SessionRequired
