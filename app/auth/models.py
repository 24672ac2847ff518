"""People, their roles, and what proves who they are."""

import enum
from datetime import datetime
from uuid import UUID, uuid4

import ua_parser
from sqlalchemy import JSON, CheckConstraint, ForeignKey, LargeBinary, String, false
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from app.database import Base, utcnow


class Permission(enum.IntFlag):
    """What a role allows; the numbers are flask-base's.

    Add your own between the two, each a bit of its own.
    """

    GENERAL = 0x01
    ADMINISTER = 0xFF


class Purpose(enum.StrEnum):
    """What a credential is good for. One for a purpose is refused for every other."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105  (a purpose, not a secret)
    CONFIRM = "confirm"
    RESET = "reset"
    CHANGE_EMAIL = "change_email"
    INVITE = "invite"
    OBJECT = "object"  # to a change of address, by whoever reads the former one's mail


class Role(Base):
    """A kind of user: what its members may do, and the page they land on."""

    __tablename__ = "roles"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    index: Mapped[str] = mapped_column(String(64))
    default: Mapped[bool] = mapped_column(default=False, server_default=false(), index=True)
    permissions: Mapped[int]

    def __repr__(self) -> str:
        return f"<Role {self.name}>"


class User(Base):
    """A person with an account.

    Without a password it is an invitation that waits to be accepted.
    """

    __tablename__ = "users"
    __table_args__ = (
        # Addresses are stored in lower case, so that the plain unique constraint knows no
        # difference of case.
        CheckConstraint("email = lower(email)", name="email_lower"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    first_name: Mapped[str] = mapped_column(String(64), index=True)
    last_name: Mapped[str] = mapped_column(String(64), index=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    confirmed: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    disabled_at: Mapped[datetime | None]
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id"), index=True)

    role: Mapped[Role] = relationship(lazy="raise")

    @validates("email")
    def _lower(self, key: str, value: str) -> str:
        return value.strip().lower()

    @property
    def is_invited(self) -> bool:
        """Whether an invitation waits to be accepted."""
        return self.password_hash is None and not self.confirmed

    def __repr__(self) -> str:
        return f"<User {self.id} {self.email}>"


class Credential(Base):
    """A random secret that proves who one is: a session, an API token or a mailed link.

    Only its digest is here.
    """

    __tablename__ = "credentials"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    purpose: Mapped[str] = mapped_column(String(16))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    email: Mapped[str | None] = mapped_column(
        String(254)
    )  # the address that a mailed link is bound to
    label: Mapped[str | None] = mapped_column(String(100))
    # What comes into force when the link is used: of several registrations the one whose mail was
    # read.
    pending: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    remember: Mapped[bool] = mapped_column(default=False, server_default=false())
    address: Mapped[str | None] = mapped_column(
        String(45)
    )  # an IPv6 address is at most 45 characters
    user_agent: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_used_at: Mapped[datetime] = mapped_column(default=utcnow)
    authenticated_at: Mapped[datetime | None]  # when the password was last shown in a session
    expires_at: Mapped[datetime] = mapped_column(index=True)
    consumed_at: Mapped[datetime | None]  # single use: set once, by a conditional UPDATE

    @property
    def device(self) -> str:
        """The program and the system that began a session, as far as its User-Agent says."""
        found = ua_parser.parse(self.user_agent or "")
        parts = [part.family for part in (found.user_agent, found.os) if part]
        return (
            " on ".join(parts) or (self.user_agent or "").partition("/")[0][:40] or "Unknown device"
        )

    def __repr__(self) -> str:
        return f"<Credential {self.purpose} of user {self.user_id}>"
