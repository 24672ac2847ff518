"""The shapes of accounts, in and out, in the order of the routes."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

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
GivenPassword = Annotated[SecretStr, Field(min_length=1, max_length=MAX_LENGTH)]


class LogIn(Shape):
    """Who wants to log in."""

    email: Address = Field(title="E-mail address", json_schema_extra={"autocomplete": "username", "input": "email"})
    password: GivenPassword = Field(title="Password", json_schema_extra={"autocomplete": "current-password"})
    remember_me: bool = Field(
        False, title="Keep me logged in", description="On this device, for two weeks after your last visit."
    )


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
