"""Request and response bodies of accounts, in the order of the routes."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from app.accounts.names import MAX_LENGTH as MAX_NAME
from app.accounts.names import clean_name
from app.auth.hashing import MAX_LENGTH, MAX_RAW_LENGTH, normal_password
from app.auth.identity import Identity
from app.auth.models import User
from app.validators import Changes, Shape
from app.validators.email_address import bare, email_address


def _looks_like_an_email(value: str) -> str:
    parts = bare(value).split("@")
    if len(parts) != 2 or not all(parts):
        raise PydanticCustomError("email", "Enter an email address, like name@example.com.")
    return value


# Logging in takes whatever looks like an address: an unknown one is refused anyway. It stays as it
# was typed, and is normalised where it is looked up.
LoginEmail = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_looks_like_an_email),
    Field(json_schema_extra={"format": "email"}),
]


def _email(value: str) -> str:
    try:
        return email_address(value)
    except ValueError:
        raise PydanticCustomError(
            "email", "Enter an email address, like name@example.com."
        ) from None


def cleaned_name(value: Any) -> Any:
    """Return a name as it is stored, for a type of the schemas."""
    if not isinstance(value, str):
        return value
    try:
        return clean_name(value)
    except ValueError as error:
        raise PydanticCustomError("name", "{words}", {"words": str(error)}) from None


# The value is the normal form; its `as_typed` is what mail is sent to.
NewEmail = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_email),
    Field(json_schema_extra={"format": "email"}),
]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME),
    BeforeValidator(cleaned_name),  # the length is that of the name as it is stored
]


def _fits(value: SecretStr) -> SecretStr:
    # Either form: an earlier release judged what was sent.
    password = value.get_secret_value()
    if min(len(password), len(normal_password(password))) > MAX_LENGTH:
        raise PydanticCustomError(
            "string_too_long", f"Use at most {MAX_LENGTH} characters.", {"max_length": MAX_LENGTH}
        )
    return value


GivenPassword = Annotated[
    SecretStr, Field(min_length=1, max_length=MAX_RAW_LENGTH), AfterValidator(_fits)
]


def _repeats(value: SecretStr, info: ValidationInfo) -> SecretStr:
    first: SecretStr = info.data.get(str(info.field_name).removesuffix("2"), value)
    if normal_password(first.get_secret_value()) != normal_password(value.get_secret_value()):
        raise PydanticCustomError("passwords", "The passwords do not match.")
    return value


def field(
    title: str,
    autocomplete: str,
    description: str | None = None,
    *,
    example: str | None = None,
    **extra: str,
) -> Any:
    """Declare a field of a form: its label, what a browser fills it with, and a hint."""
    return Field(
        title=title,
        description=description,
        examples=[example] if example else None,
        json_schema_extra={"autocomplete": autocomplete, **extra},
    )


def new_password(title: str) -> Any:
    """Declare a field in which a password is chosen."""
    words = "Long beats complicated: four unrelated words make a good password."
    return field(title, "new-password", words)


RepeatedPassword = Annotated[
    GivenPassword, AfterValidator(_repeats), field("Repeat password", "new-password")
]


# Of answers.
ShownEmail = Annotated[str, Field(examples=["robin@example.com"])]
FirstName = Annotated[str, Field(examples=["Robin"])]
LastName = Annotated[str, Field(examples=["Example"])]
ShownRole = Annotated[str, Field(examples=["User"])]
SECRET = "Jt1nDPU6kwd3yKcpAVHr1ETUVfJbnlDAhaRTkvXZ8M0"  # noqa: S105  (an example)
Secret = Annotated[str, Field(examples=[SECRET])]


class LogIn(Shape):
    """The email address and the password of an account."""

    email: LoginEmail = field("Email address", "username", input="email")
    password: GivenPassword = field("Password", "current-password")
    remember_me: bool = Field(
        False,
        title="Keep me logged in",
        description="On this device, until two weeks after your last visit.",
    )


class FullName(Shape):
    """First and last name."""

    first_name: Name = field("First name", "given-name", example="Robin")
    last_name: Name = field("Last name", "family-name", example="Example")


class NameChange(Changes, FullName):
    """What the caller changes of their name."""


class Registration(FullName):
    """A new account."""

    email: NewEmail = field("Email address", "username", input="email")
    password: GivenPassword = new_password("Password")


class RegistrationForm(Registration):
    """The registration form, where the password is typed twice."""

    password2: RepeatedPassword


class MailedToken(Shape):
    """The secret of a mailed link: the last part of its URL."""

    token: str = Field(min_length=1, max_length=100, examples=[SECRET])


class ShownPassword(Shape):
    """The password of an account, for a link that does not show by itself whose account it is."""

    password: GivenPassword | None = Field(
        None,
        title="Password",
        json_schema_extra={"autocomplete": "current-password", "required": True},
    )

    @property
    def typed(self) -> str:
        """The password in clear, "" if there is none."""
        return self.password.get_secret_value() if self.password else ""


class LinkAndPassword(ShownPassword, MailedToken):
    """The secret of a mailed link, and the password of an account that one is not signed in to."""


class SetUp(FullName):
    """The name and the password that the owner of an address chooses."""

    password: GivenPassword = new_password("Password")


class SetUpForm(SetUp):
    """The form of it, where the password is typed twice."""

    password2: RepeatedPassword


class AddressSetUp(SetUp, MailedToken):
    """A name and a password, and the secret of the link that was mailed to the address."""


class OwnPassword(Shape):
    """The current password of the caller."""

    password: GivenPassword = field("Password", "current-password")


class ResetRequest(Shape):
    """The email address of an account whose password was forgotten."""

    email: LoginEmail = field("Email address", "username", input="email")


class NewPassword(Shape):
    """A new password."""

    new_password: GivenPassword = new_password("New password")


class NewPasswordForm(NewPassword):
    """The reset form, where the password is typed twice."""

    new_password2: RepeatedPassword


class PasswordReset(NewPassword, MailedToken):
    """A new password, and the secret of the reset link."""


class Acceptance(Shape):
    """The password that an invited user chooses."""

    password: GivenPassword = new_password("Password")


class AcceptanceForm(Acceptance):
    """The invitation form, where the password is typed twice."""

    password2: RepeatedPassword


class InvitationAccepted(Acceptance, MailedToken):
    """The password that an invited user chooses, and the secret of the invitation."""


class PasswordChange(Shape):
    """The current password and a new one."""

    old_password: GivenPassword = field("Current password", "current-password")
    new_password: GivenPassword = new_password("New password")


class PasswordChangeForm(PasswordChange):
    """The form that changes a password, where the new one is typed twice."""

    new_password2: RepeatedPassword


class EmailChange(Shape):
    """A new email address, and the current password."""

    email: NewEmail = field("New email address", "email", input="email")
    password: GivenPassword = field("Password", "current-password")


class Candidate(Shape):
    """A password that somebody is typing, and what the other fields of the form hold."""

    password: GivenPassword
    about: list[Annotated[str, StringConstraints(max_length=254)]] = Field([], max_length=5)


class Strength(BaseModel):
    """How hard a password is to guess: a score from 0 to 4, and why it is refused if it is."""

    score: int = Field(ge=0, le=4, examples=[4])
    accepted: bool = Field(examples=[True])
    reason: str = Field(examples=[""])


class Accepted(BaseModel):
    """What happens next."""

    detail: str = Field(examples=["We have sent an email to this address."])


class AccountOut(BaseModel):
    """The account of the caller."""

    id: int
    email: ShownEmail
    first_name: FirstName
    last_name: LastName
    role: ShownRole
    confirmed: bool

    @classmethod
    def of(cls, user: User, role: str) -> "AccountOut":
        """Build it from a row of `users` and the name of their role."""
        return cls(
            id=user.id,
            email=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            role=role,
            confirmed=user.confirmed,
        )

    @classmethod
    def of_caller(cls, identity: Identity) -> "AccountOut":
        """Build it from the identity of a request."""
        return cls(
            id=identity.user_id,
            email=identity.email,
            first_name=identity.first_name,
            last_name=identity.last_name,
            role=identity.role_name,
            confirmed=identity.confirmed,
        )


class NewLink(BaseModel):
    """The secret of a reset link, given to a client that has just used a mailed link."""

    token: Secret


class SessionOut(BaseModel):
    """A new session.

    Programs send its token as `Authorization: Bearer …`; browsers get it as a cookie.
    """

    token: Secret
    expires_at: datetime


class Confirmed(BaseModel):
    """The address is confirmed.

    `session` has begun, in place of the one that the caller had; it is null where that goes on.
    """

    session: SessionOut | None


class DataExport(BaseModel):
    """Everything that is stored about the caller: these two parts, and one for each feature."""

    model_config = ConfigDict(extra="allow")

    account: dict[str, Any]
    credentials: list[dict[str, Any]]
