"""What a value may be: each module validates one kind and brings it to its one form.

Each function returns the normalised value, and raises `ValueError` with words that say what to
write. `Shape` is the base class of request schemas.
"""

import re
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, ConfigDict

from app.validators.email_address import email_address


def security_contact(value: str) -> str:
    """Validate where to report vulnerabilities: a URI, or an email address, which becomes one."""
    value = value.strip()
    if re.search(r"\s", value):
        raise ValueError("an address or a URI has no blanks")
    scheme, colon, rest = value.partition(":")
    scheme = scheme.lower()
    if "@" in value and (scheme == "mailto" or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme)):
        address, mark, query = (rest if scheme == "mailto" else value).partition("?")
        return f"mailto:{quote(email_address(unquote(address)), safe='@+')}{mark}{query}"
    valid = {
        "https": bool(colon and urlsplit(value).hostname),
        "tel": re.fullmatch(r"\+?[0-9][0-9().-]*", rest) is not None,
    }
    if not valid.get(scheme) or not re.fullmatch(r"[!-~]+", value):
        raise ValueError("not an email address, nor a URI with https://, mailto: or tel:")
    return f"{scheme}:{rest}"


def installation_id(value: str) -> str:
    """Validate the name of an installation, which is part of the names of its cookies."""
    if not re.fullmatch("[a-z0-9]{0,16}", value):  # empty: derived, see `Config`
        raise ValueError("at most 16 letters a to z and digits")
    return value


def redis_prefix(value: str) -> str:
    """Validate a beginning of keys in Redis."""
    # Redis takes any characters. These mean something in patterns: of SCAN, and of ACLs.
    if not re.fullmatch(r"[!-~]{0,64}", value) or re.search(r"[*?\[\]\\]", value):
        raise ValueError(
            "at most 64 characters of ASCII without blanks and without * ? [ ] \\, "
            "which are wildcards in Redis"
        )
    return value


LARGEST_ID = 2**31 - 1  # of PostgreSQL's INTEGER


class Shape(BaseModel):
    """Base of request schemas. Rejects unknown fields, which prevents mass assignment."""

    model_config = ConfigDict(extra="forbid")


def _without_defaults(schema: dict[str, Any]) -> None:
    """Drop the default of each field: one that is left out stays as it is, and null is refused."""
    for field in schema["properties"].values():
        field.pop("default", None)


class Changes(Shape):
    """Let each field of a schema be left out: `class NameChange(Changes, FullName)`.

    Read `model_dump(exclude_unset=True)` and not the attributes: those that were not sent are None,
    whatever their type says.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    @classmethod
    def __pydantic_init_subclass__(cls, **values: Any) -> None:
        super().__pydantic_init_subclass__(**values)
        for field in cls.model_fields.values():
            field.default = None
        cls.model_rebuild(force=True)


class Nothing(Shape):
    """A form without fields, or the query string of an operation without any."""
