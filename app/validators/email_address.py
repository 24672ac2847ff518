"""E-mail addresses: the one normal form under which they are stored, looked up and counted.

The normal form is a fixed point: NFC and lower case before the @, the domain as IDNA's Unicode
labels after it. `straße@` stays a different mailbox from `strasse@`, so nothing is case-folded.
Mail goes to the form that was typed, since a mail server may tell `Robin@` from `robin@`.
"""

import unicodedata
from typing import Self

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

# Invisible characters that come along when an address is copied: blanks and format characters.
INVISIBLE = ("Zs", "Zl", "Zp", "Cf")
DOTS = ".。．｡"  # noqa: RUF001  (all of them separate the labels of a domain)
FULLWIDTH_AT = "＠"  # noqa: RUF001


class EmailAddress(str):
    """A valid e-mail address. As a string it is the normal form, so it may be compared.

    `as_typed` is what mail is sent to: the same mailbox, with the case that was typed.
    """

    __slots__ = ("as_typed",)
    as_typed: str

    def __new__(cls, normal: str, as_typed: str | None = None) -> Self:
        """Trust that `normal` is a normal form: `email_address` makes one from text."""
        made = super().__new__(cls, normal)
        made.as_typed = as_typed or normal
        return made

    @property
    def differing(self) -> str | None:
        """The form that was typed, where it differs from the normal form: a column of its own."""
        return self.as_typed if self.as_typed != self else None


def email_address(text: str) -> EmailAddress:
    """Validate an address in any spelling and normalise it. Deliverability is not checked.

    Raises `ValueError`, also if only the normal form is invalid: lower case can be longer.
    """
    if isinstance(text, EmailAddress):
        return text
    as_typed = _valid(bare(text))
    normal, before = as_typed, ""
    while normal != before:
        before = normal
        local, _, domain = normal.rpartition("@")
        normal = _valid(f"{unicodedata.normalize('NFC', local.lower())}@{domain}")
    return EmailAddress(normal, as_typed)


def normalised(text: str) -> EmailAddress:
    """Return the normal form for a look-up; of what is no valid address, the text in lower case.

    Never raises. An import may have left accounts with addresses that are not valid today.
    """
    try:
        return email_address(text)
    except ValueError:
        return EmailAddress(exact(text))


def exact(text: str) -> str:
    """Return the form under which earlier releases looked an address up."""
    return str(text).strip().lower()


def bare(text: str) -> str:
    """Remove what surrounds an address: blanks, invisible characters, <>, the root's dot."""
    text = _visible(text)
    if text.startswith("<") and text.endswith(">"):
        text = _visible(text[1:-1])
    if "@" not in text:
        text = text.replace(FULLWIDTH_AT, "@")
    return text[:-1] if text[-1:] in DOTS else text


def _visible(text: str) -> str:
    kept = [number for number, character in enumerate(text) if not _is_invisible(character)]
    return text[kept[0] : kept[-1] + 1] if kept else ""


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in INVISIBLE


def _valid(text: str) -> str:
    """Return an address with its local part in NFC and its domain in one form, or raise."""
    try:
        # Hosts of an internal network may have names without a dot.
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(f"not an email address: {str(error).rstrip('.')}") from None
    # The beginning of an encoded word (RFC 2047), which mail clients would decode.
    if "=?" in found.normalized:
        raise ValueError("not an email address that mail can be sent to")
    return f"{found.local_part}@{_domain(found)}"


def _domain(found: ValidatedEmail) -> str:
    """Return the Unicode form of a domain, or its ASCII form where lower case would change it.

    IDNA maps Cherokee to capitals, but the database accepts lower case only.
    """
    return found.domain if found.domain == found.domain.lower() else found.ascii_domain
