"""The caller of a request: plain values that the edges pass to the services."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.auth.models import Permission, Purpose
from app.trail import PERSON, Subject


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from.

    `local` means from this machine itself, with no proxy in between. `device` is the secret of the
    browser's device cookie, "" if it has none.
    """

    ip: str
    user_agent: str
    local: bool
    device: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """The user who makes a request and the credential they used; `user_id` 0 means anonymous."""

    user_id: int = 0
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    confirmed: bool = False
    created_at: datetime | None = None
    role_name: str = ""
    role_index: str = ""
    permissions: Permission = field(default=Permission(0))
    grants: frozenset[str] = frozenset()
    must_change_password: bool = False
    credential_id: UUID | None = None
    purpose: Purpose | None = None
    began_at: datetime | None = None
    last_used_at: datetime | None = None
    authenticated_at: datetime | None = None
    remember: bool = False
    scopes: frozenset[str] = frozenset()  # of an API token; `permissions` are within them

    @property
    def is_authenticated(self) -> bool:
        """Whether the caller is a known user."""
        return self.user_id != 0

    @property
    def is_admin(self) -> bool:
        """Whether the user is an administrator."""
        return self.can(Permission.ADMINISTER)

    @property
    def subject(self) -> Subject:
        """The user, for the trail."""
        return Subject(PERSON, self.user_id, self.full_name, self.email)

    @property
    def full_name(self) -> str:
        """First and last name, separated by a space."""
        return f"{self.first_name} {self.last_name}".strip()

    def can(self, permission: Permission | str) -> bool:
        """Return whether the role grants a permission: every bit of it, or by its name.

        Whoever administers has every permission that has a name.
        """
        if isinstance(permission, str):
            return permission in self.grants or self.is_admin
        return self.permissions & permission == permission


ANONYMOUS = Identity()
