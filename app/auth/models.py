"""Users, their roles, and the credentials that prove who they are."""

import enum
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import ua_parser
from sqlalchemy import (
    JSON,
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    false,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from app.auth import default_role  # noqa: F401  (explains a failed INSERT)
from app.auth.states import STATE
from app.database import Base, utcnow
from app.keyset import sorted_text
from app.trail import PERSON, Subject
from app.validators.email_address import EmailAddress, normalised
from app.validators.folding import MAX_KEY, name_keys


class Permission(enum.IntFlag):
    """What a role may do in flask-base's own terms, whose values these are.

    Features name permissions of their own with `auth.permissions.permission`: a role that
    administers has all of them.
    """

    GENERAL = 0x01
    ADMINISTER = 0xFF


class Purpose(enum.StrEnum):
    """What a credential may be used for; it is refused for every other purpose."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105  (a purpose, not a secret)
    CONFIRM = "confirm"
    RESET = "reset"
    CHANGE_EMAIL = "change_email"
    INVITE = "invite"
    OBJECT = "object"  # mailed to the previous address: reverts a change of email
    DEVICE = "device"  # the cookie of a browser that the user has logged in with


class Role(Base):
    """A kind of user: what its members may do, and which page they land on after logging in.

    `key` is of those that the code names, whatever people call them.
    """

    __tablename__ = "roles"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str | None] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    index: Mapped[str] = mapped_column(String(64))
    default: Mapped[bool] = mapped_column(default=False, server_default=false(), index=True)
    permissions: Mapped[int]
    # The names of permissions, separated by blanks.
    grants: Mapped[str] = mapped_column(String(1000), default="", server_default=text("''"))

    def __repr__(self) -> str:
        return f"<Role {self.name}>"


# The id of the role that new accounts get.
DEFAULT_ROLE_ID = select(Role.id).where(Role.default).order_by(Role.id).limit(1)


def _key_of_insert(column: str) -> Callable[[Any], str]:
    """Return what fills one of these columns where an INSERT leaves it out."""

    def key(context: Any) -> str:
        written = context.get_current_parameters()
        return name_keys(written["first_name"], written["last_name"])[column]

    return key


class User(Base):
    """A person with an account.

    A user without a password is an invitation that has not been accepted yet. A user that is
    added without a role gets the default role.
    """

    __tablename__ = "users"
    __table_args__ = (
        # In the normal form, so that the plain unique constraint ignores case.
        CheckConstraint("email = lower(email)", name="email_lower"),
        # For the list of people: each order of it, without a filter and with both.
        Index("ix_users_name", "name_key", "id"),
        Index("ix_users_given_name", "given_name_key", "id"),
        Index("ix_users_filtered", "role_id", "state", "id"),
        Index("ix_users_filtered_email", "role_id", "state", "email", "id"),
        Index("ix_users_filtered_name", "role_id", "state", "name_key", "id"),
        Index("ix_users_filtered_given_name", "role_id", "state", "given_name_key", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(sorted_text(254), unique=True)
    email_as_typed: Mapped[str | None] = mapped_column(String(254))  # where it differs
    first_name: Mapped[str] = mapped_column(String(64))
    last_name: Mapped[str] = mapped_column(String(64))
    # By which people are sorted and found: last name first, and first name first.
    name_key: Mapped[str] = mapped_column(
        sorted_text(MAX_KEY), default=_key_of_insert("name_key"), server_default=text("''")
    )
    given_name_key: Mapped[str] = mapped_column(
        sorted_text(MAX_KEY), default=_key_of_insert("given_name_key"), server_default=text("''")
    )
    password_hash: Mapped[str | None] = mapped_column(String(255))
    # An administrator chose the password: its owner has to choose another one.
    must_change_password: Mapped[bool] = mapped_column(default=False, server_default=false())
    confirmed: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    disabled_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(16), Computed(STATE, persisted=True))
    role_id: Mapped[int] = mapped_column(
        ForeignKey("roles.id"),
        # Part of the INSERT itself: no database takes a subquery as a server default.
        default=DEFAULT_ROLE_ID.scalar_subquery(),
    )

    role: Mapped[Role] = relationship(lazy="raise")

    @validates("email")
    def _normalise(self, key: str, value: str) -> str:
        address = normalised(value)
        self.email_as_typed = address.differing
        return str(address)

    @validates("first_name", "last_name")
    def _sort(self, key: str, value: str) -> str:
        names = {"first_name": self.first_name, "last_name": self.last_name, key: value}
        if None not in names.values():
            for column, text in name_keys(**names).items():
                setattr(self, column, text)
        return value

    @property
    def full_name(self) -> str:
        """First and last name, separated by a space."""
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def subject(self) -> Subject:
        """The person, for the trail."""
        return Subject(PERSON, self.id, self.full_name, self.email)

    @property
    def address(self) -> EmailAddress:
        """The address of the account, and the form of it that was typed."""
        return EmailAddress(self.email, self.email_as_typed)

    @property
    def recipient(self) -> str:
        """The address that mail is sent to: as it was typed."""
        return self.address.as_typed

    @property
    def is_invited(self) -> bool:
        """Whether the user was invited and has not accepted yet."""
        return self.password_hash is None and not self.confirmed

    @property
    def is_unproven(self) -> bool:
        """Whether anybody may have registered the user: nobody has proved the address."""
        return not (self.confirmed or self.is_invited or self.disabled_at)

    def __repr__(self) -> str:
        return f"<User {self.id} {self.email}>"


class Credential(Base):
    """A random secret that proves who somebody is: a session, an API token or a mailed link.

    Only the digest of the secret is stored. A link that confirms an address belongs to the address
    alone and has no user, so that nothing that happens to an account ends it.
    """

    __tablename__ = "credentials"
    __table_args__ = (
        CheckConstraint("user_id IS NOT NULL OR purpose = 'confirm'", name="has_user"),
        Index(
            "ix_credentials_email",
            "email",
            postgresql_where=text("email IS NOT NULL"),
            sqlite_where=text("email IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    purpose: Mapped[str] = mapped_column(String(16))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    # That a mailed link is bound to.
    email: Mapped[str | None] = mapped_column(String(254))
    email_as_typed: Mapped[str | None] = mapped_column(String(254))  # where it differs
    label: Mapped[str | None] = mapped_column(String(100))
    scopes: Mapped[str | None] = mapped_column(String(64))  # of an API token, separated by blanks
    # `registration`: the id of the account that a link confirms, once it is shown to be one's own.
    pending: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    remember: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Where a session began, or where a token was last used: an ip (IPv6 takes 45 characters).
    address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_used_at: Mapped[datetime] = mapped_column(default=utcnow)  # unused tokens: `created_at`
    authenticated_at: Mapped[datetime | None]  # when the password was last checked in this session
    expires_at: Mapped[datetime] = mapped_column(index=True)
    consumed_at: Mapped[datetime | None]  # single use: set once, by a conditional UPDATE

    @property
    def used_at(self) -> datetime | None:
        """When it was last used, None for an API token that nobody has used yet."""
        is_unused = self.purpose == Purpose.TOKEN and self.last_used_at == self.created_at
        return None if is_unused else self.last_used_at

    @property
    def device(self) -> str:
        """Browser and operating system, as far as the User-Agent names them."""
        found = ua_parser.parse(self.user_agent or "")
        parts = [part.family for part in (found.user_agent, found.os) if part]
        return (
            " on ".join(parts) or (self.user_agent or "").partition("/")[0][:40] or "Unknown device"
        )

    def __repr__(self) -> str:
        return f"<Credential {self.purpose} of user {self.user_id}>"
