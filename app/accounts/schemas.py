"""The shapes of accounts, in and out, in the order of the routes."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from app import addresses
from app.accounts.identity import Identity
from app.schemas import Shape
from app.security.passwords import MAX_LENGTH


def _looks_like_an_address(value: str) -> str:
    if value.count("@") != 1 or not all(value.split("@")):
        raise PydanticCustomError("email", "Enter an e-mail address, like name@example.com.")
    return value.lower()


# For log-in an address only has to look like one: what is not in the database is wrong anyway.
Address = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(_looks_like_an_address)
]


def _email(value: str) -> str:
    try:
        return addresses.email(value)
    except ValueError:
        raise PydanticCustomError("email", "Enter an e-mail address, like name@example.com.") from None


def _printable(value: str) -> str:
    # Line breaks in a name would end up in the headers of mails.
    if not value.isprintable():
        raise PydanticCustomError("name", "Use letters, digits and spaces alone.")
    return value


NewAddress = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(_email)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), AfterValidator(_printable)]
GivenPassword = Annotated[SecretStr, Field(min_length=1, max_length=MAX_LENGTH)]


class LogIn(Shape):
    """Who wants to log in."""

    email: Address = Field(title="E-mail address", json_schema_extra={"autocomplete": "username", "input": "email"})
    password: GivenPassword = Field(title="Password", json_schema_extra={"autocomplete": "current-password"})
    remember_me: bool = Field(
        False, title="Keep me logged in", description="On this device, for two weeks after your last visit."
    )


class Registration(Shape):
    """Somebody who wants an account."""

    first_name: Name = Field(title="First name", json_schema_extra={"autocomplete": "given-name"})
    last_name: Name = Field(title="Last name", json_schema_extra={"autocomplete": "family-name"})
    email: NewAddress = Field(title="E-mail address", json_schema_extra={"autocomplete": "username", "input": "email"})
    password: GivenPassword = Field(
        title="Password",
        description="At least 12 characters. Four words that do not belong together are good.",
        json_schema_extra={"autocomplete": "new-password"},
    )


class RegistrationForm(Registration):
    """The same on a page, where the password is typed twice."""

    password2: GivenPassword = Field(title="Password, once more", json_schema_extra={"autocomplete": "new-password"})

    @field_validator("password2")
    @classmethod
    def _same(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if "password" in info.data and value != info.data["password"]:
            raise PydanticCustomError("passwords", "This is not the same password.")
        return value


class Accepted(BaseModel):
    """What happens next."""

    detail: str


class MailedToken(Shape):
    """The secret of a mailed link: the last part of its address."""

    token: str = Field(min_length=1, max_length=100)


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


class SessionOut(BaseModel):
    """A session that has begun. Programs send the token as `Authorization: Bearer …`; browsers get it as a cookie."""

    token: str
    expires_at: datetime
