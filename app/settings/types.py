"""The types of settings: what a value may be, and the one form that it is brought to."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from app import validators
from app.validators import origins, redis_url, senders
from app.validators.database_url import database_url
from app.validators.email_address import email_address
from app.validators.rate_rules import rate_rules

SECRET_LENGTH = 32

KIB = 1024
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY

FLAGS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(
    ("false", "0", "no", "off"), False
)


def _rule(value: str) -> str:
    rate_rules(value)
    return value


def _secret(value: str) -> str:
    if len(value.strip()) < SECRET_LENGTH:
        raise ValueError(
            f"a secret key has at least {SECRET_LENGTH} characters, not counting blanks around it"
        )
    return value


def _split(value: object) -> object:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def _flag(value: object) -> object:
    if isinstance(value, str) and value.lower() not in FLAGS:
        raise ValueError("neither true nor false")
    return FLAGS[value.lower()] if isinstance(value, str) else value


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _sender(value: str) -> str:
    return str(senders.sender(value))


def _product(value: str) -> str:
    if "=?" in value:
        raise ValueError("=? begins an encoded word of a mail's header; leave it out")
    return value


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


Product = Annotated[str, AfterValidator(_product)]
Contact = Annotated[str, AfterValidator(validators.security_contact)]
Email = Annotated[str, AfterValidator(email_address)]
Site = Annotated[str, AfterValidator(origins.base_url)]
DatabaseURL = Annotated[str, BeforeValidator(_stripped), AfterValidator(database_url)]
RedisURL = Annotated[str, AfterValidator(redis_url.validate)]
Installation = Annotated[str, AfterValidator(validators.installation_id)]
Prefix = Annotated[str, AfterValidator(validators.redis_prefix)]
Rule = Annotated[str, AfterValidator(_rule)]
Secret = Annotated[str, AfterValidator(_secret)]
Secrets = Annotated[list[Secret], NoDecode, BeforeValidator(_split)]
Origins = Annotated[
    list[Annotated[str, AfterValidator(origins.origin)]],
    NoDecode,
    BeforeValidator(_split),
    AfterValidator(_unique),
]
Flag = Annotated[bool, BeforeValidator(_flag)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
LogFormat = Annotated[Literal["text", "json"], BeforeValidator(_lower)]
Sender = Annotated[str, AfterValidator(_sender)]
MailServer = Annotated[str, AfterValidator(senders.mail_server)]

# Seconds as they are used: time-outs in milliseconds, which PostgreSQL keeps in 31 bits; ages in
# dates, which end with the year 9999.
Timeout = Annotated[float, Field(ge=0.001, le=DAY, allow_inf_nan=False)]
Delay = Annotated[float, Field(ge=0.001, le=30 * DAY, allow_inf_nan=False)]
Age = Annotated[int, Field(ge=MINUTE, le=10 * YEAR)]


def is_rule(field: FieldInfo) -> bool:
    """Tell whether a setting is a rate limit."""
    return any(getattr(each, "func", None) is _rule for each in field.metadata)


def setting(default: Any, description: str, *, secret: bool = False, **constraints: Any) -> Any:
    """Declare a setting: its default, and its description in lower case without a full stop.

    A secret is never shown, neither in a `repr` nor in an error message.
    """
    return Field(default, description=description, repr=not secret, **constraints)
