"""The shapes of accounts, in and out, in the order of the routes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from app import validators
from app.auth.hashing import MAX_LENGTH
from app.auth.identity import Identity
from app.auth.models import Credential
from app.validators import Shape


def _looks_like_an_address(value: str) -> str:
    if value.count("@") != 1 or not all(value.split("@")):
        raise PydanticCustomError("email", "Enter an e-mail address, like name@example.com.")
    return value.strip().lower()  # pydantic leaves some separators, which the database would not


# For log-in an address only has to look like one: what is not in the database is wrong anyway.
Address = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_looks_like_an_address),
]


def _email(value: str) -> str:
    try:
        return validators.email(value)
    except ValueError:
        raise PydanticCustomError(
            "email", "Enter an e-mail address, like name@example.com."
        ) from None


def _printable(value: str) -> str:
    # Line breaks in a name would end up in the headers of mails.
    if (
        not value.isprintable() or "://" in value
    ):  # nor should a stranger's mail bring somebody's link
        raise PydanticCustomError("name", "This holds characters that do not belong in a name.")
    return value


NewAddress = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(_email)
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_printable),
]
GivenPassword = Annotated[SecretStr, Field(min_length=1, max_length=MAX_LENGTH)]


def _repeats(value: SecretStr, info: ValidationInfo) -> SecretStr:
    if info.data.get(str(info.field_name).removesuffix("2"), value) != value:
        raise PydanticCustomError("passwords", "This is not the same password.")
    return value


def _asked(title: str, autocomplete: str, description: str | None = None, **extra: str) -> Any:
    return Field(
        title=title,
        description=description,
        json_schema_extra={"autocomplete": autocomplete, **extra},
    )


def _new_password(title: str) -> Any:
    words = "Long is better than complicated: four words that do not belong together are good."
    return _asked(title, "new-password", words)


RepeatedPassword = Annotated[
    GivenPassword, AfterValidator(_repeats), _asked("Password, once more", "new-password")
]


class LogIn(Shape):
    """Who wants to log in."""

    email: Address = _asked("E-mail address", "username", input="email")
    password: GivenPassword = _asked("Password", "current-password")
    remember_me: bool = Field(
        False,
        title="Keep me logged in",
        description="On this device, for two weeks after your last visit.",
    )


class FullName(Shape):
    """What somebody is called."""

    first_name: Name = _asked("First name", "given-name")
    last_name: Name = _asked("Last name", "family-name")


class Registration(FullName):
    """Somebody who wants an account."""

    email: NewAddress = _asked("E-mail address", "username", input="email")
    password: GivenPassword = _new_password("Password")


class RegistrationForm(Registration):
    """The same on a page, where a new password is typed twice."""

    password2: RepeatedPassword


class MailedToken(Shape):
    """The secret of a mailed link: the last part of its address."""

    token: str = Field(min_length=1, max_length=100)


class OwnPassword(Shape):
    """The password of whoever asks, once more."""

    password: GivenPassword = _asked("Password", "current-password")


class ResetRequest(Shape):
    """Who has forgotten their password."""

    email: Address = _asked("E-mail address", "username", input="email")


class NewPassword(Shape):
    """The password that somebody chooses."""

    new_password: GivenPassword = _new_password("New password")


class NewPasswordForm(NewPassword):
    """The same on a page."""

    new_password2: RepeatedPassword


class PasswordReset(NewPassword, MailedToken):
    """The password that somebody chooses, and the secret of the link that lets them."""


class Acceptance(Shape):
    """The password of somebody who was invited."""

    password: GivenPassword = _new_password("Password")


class AcceptanceForm(Acceptance):
    """The same on a page."""

    password2: RepeatedPassword


class InvitationAccepted(Acceptance, MailedToken):
    """The password of somebody who was invited, and the secret of their invitation."""


class PasswordChange(Shape):
    """Another password, by whoever knows the former one."""

    old_password: GivenPassword = _asked("Present password", "current-password")
    new_password: GivenPassword = _new_password("New password")


class PasswordChangeForm(PasswordChange):
    """The same on a page."""

    new_password2: RepeatedPassword


class EmailChange(Shape):
    """Another e-mail address."""

    email: NewAddress = _asked("New e-mail address", "email", input="email")
    password: GivenPassword = _asked("Password", "current-password")


class Candidate(Shape):
    """A password that somebody is about to choose, and what else their form says."""

    password: GivenPassword
    about: list[Annotated[str, StringConstraints(max_length=254)]] = Field([], max_length=5)


class Strength(BaseModel):
    """How hard a password is to guess, from 0 to 4.

    Whether it is accepted, and else what is wrong with it.
    """

    score: int
    accepted: bool
    reason: str


class Accepted(BaseModel):
    """What happens next."""

    detail: str


class AccountOut(BaseModel):
    """The person who asks."""

    id: int
    email: str
    first_name: str
    last_name: str
    role: str
    confirmed: bool

    @classmethod
    def of(cls, identity: Identity) -> "AccountOut":
        """The account behind an identity."""
        return cls(
            id=identity.user_id,
            email=identity.email,
            first_name=identity.first_name,
            last_name=identity.last_name,
            role=identity.role_name,
            confirmed=identity.confirmed,
        )


class NewLink(BaseModel):
    """The secret of a link that is not mailed, since whoever gets it has just shown that they read
    the mail.
    """

    token: str


class SessionOut(BaseModel):
    """A session that has begun.

    Programs send the token as `Authorization: Bearer …`; browsers get it as a cookie.
    """

    token: str
    expires_at: datetime


class Confirmed(BaseModel):
    """An address has changed; with a session in place of the one that confirmed it."""

    session: SessionOut | None


class SessionRow(BaseModel):
    """A session that goes on; `current` is the one that asks."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    device: str
    address: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool = False


class SessionRows(BaseModel):
    """One's sessions, those used last first."""

    items: list[SessionRow]
    next: str | None = None

    @classmethod
    def of(cls, rows: Sequence[Credential], actor: Identity) -> "SessionRows":
        """Sessions as their owner sees them.

        Not for the event loop: telling devices apart takes its time at first.
        """
        items = [SessionRow.model_validate(row) for row in rows]
        for item in items:
            item.current = item.id == actor.credential_id
        return cls(items=items)


class DataExport(BaseModel):
    """All that is stored about somebody."""

    account: dict[str, Any]
    credentials: list[dict[str, Any]]
