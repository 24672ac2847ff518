"""Users, their roles, and the credentials that prove who they are."""

import enum
import re
from datetime import datetime
from typing import TypeVarTuple
from uuid import UUID, uuid4

import ua_parser
from sqlalchemy import (
    JSON,
    CheckConstraint,
    Engine,
    ExceptionContext,
    ForeignKey,
    Index,
    LargeBinary,
    Select,
    String,
    event,
    false,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from app.database import Base, utcnow
from app.errors import NotReady
from app.validators.email_address import EmailAddress, exact, normalised

Columns = TypeVarTuple("Columns")


class Permission(enum.IntFlag):
    """What a role may do. The values are flask-base's.

    Add permissions of your own between these two, each one bit.
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
    """A kind of user: what its members may do, and which page they land on after logging in."""

    __tablename__ = "roles"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    index: Mapped[str] = mapped_column(String(64))
    default: Mapped[bool] = mapped_column(default=False, server_default=false(), index=True)
    permissions: Mapped[int]

    def __repr__(self) -> str:
        return f"<Role {self.name}>"


# The id of the role that new accounts get.
DEFAULT_ROLE_ID = select(Role.id).where(Role.default).order_by(Role.id).limit(1)


class User(Base):
    """A person with an account.

    A user without a password is an invitation that has not been accepted yet. A user that is
    added without a role gets the default role.
    """

    __tablename__ = "users"
    __table_args__ = (
        # In the normal form, so that the plain unique constraint ignores case.
        CheckConstraint("email = lower(email)", name="email_lower"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    email_as_typed: Mapped[str | None] = mapped_column(String(254))  # where it differs
    first_name: Mapped[str] = mapped_column(String(64), index=True)
    last_name: Mapped[str] = mapped_column(String(64), index=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    confirmed: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    disabled_at: Mapped[datetime | None]
    role_id: Mapped[int] = mapped_column(
        ForeignKey("roles.id"),
        index=True,
        # Part of the INSERT itself: no database takes a subquery as a server default.
        default=DEFAULT_ROLE_ID.scalar_subquery(),
    )

    role: Mapped[Role] = relationship(lazy="raise")

    @validates("email")
    def _normalise(self, key: str, value: str) -> str:
        address = normalised(value)
        self.email_as_typed = address.differing
        return str(address)

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
    # `registration`: the id of the account that a link confirms, once it is shown to be one's own.
    pending: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    remember: Mapped[bool] = mapped_column(default=False, server_default=false())
    address: Mapped[str | None] = mapped_column(String(45))  # an ip; IPv6 takes 45 characters
    user_agent: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_used_at: Mapped[datetime] = mapped_column(default=utcnow)
    authenticated_at: Mapped[datetime | None]  # when the password was last checked in this session
    expires_at: Mapped[datetime] = mapped_column(index=True)
    consumed_at: Mapped[datetime | None]  # single use: set once, by a conditional UPDATE

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


def with_email(query: Select[*Columns], email: str) -> Select[*Columns]:
    """Restrict a query of users to the account of an address in any spelling.

    The address exactly as stored comes first: two accounts of an earlier release may have the same
    normal form, and the one whose address is not stored in it is found by the text that it is
    stored as. No new account gets such an address, so nobody can put one in front of somebody
    else's.
    """
    # PostgreSQL takes no NUL, and no account has one.
    own, normal = ("" if "\0" in form else form for form in (exact(email), str(normalised(email))))
    return query.where(User.email.in_({own, normal})).order_by(User.email != own).limit(1)


@event.listens_for(Engine, "handle_error")
def _explain_missing_role(context: ExceptionContext) -> None:
    """Raise `NotReady` where a user could not be inserted because there is no default role.

    The database itself only says that `users.role_id` must not be NULL.
    """
    if not isinstance(context.sqlalchemy_exception, IntegrityError):
        return
    message = str(context.original_exception)
    if re.search(r"users\.role_id|\"role_id\" of relation \"users\"", message):
        raise NotReady("There is no default role. Run: python manage.py setup-dev")
