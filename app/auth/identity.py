"""Who makes a request, and from where: plain values that are passed to whatever needs to know."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.auth.models import Permission, Purpose


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from.

    `local` means from this machine itself, with no proxy in between.
    """

    address: str
    user_agent: str
    local: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a request, as one row of plain values; `user_id` is 0 for somebody unknown."""

    user_id: int = 0
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    confirmed: bool = False
    created_at: datetime | None = None
    role_name: str = ""
    role_index: str = ""
    permissions: Permission = field(default=Permission(0))
    credential_id: UUID | None = None
    purpose: Purpose | None = None
    began_at: datetime | None = None
    last_used_at: datetime | None = None
    authenticated_at: datetime | None = None
    remember: bool = False

    @property
    def is_authenticated(self) -> bool:
        """Whether this is somebody."""
        return self.user_id != 0

    @property
    def is_admin(self) -> bool:
        """Whether they may administer."""
        return self.can(Permission.ADMINISTER)

    @property
    def full_name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()

    def can(self, permission: Permission) -> bool:
        """Whether their role allows this, all of it."""
        return self.permissions & permission == permission


ANONYMOUS = Identity()
