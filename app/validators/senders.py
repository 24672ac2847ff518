"""The settings of mail that have a form: the sender, and the name of the server.

Each function returns the normalised value, and raises `ValueError` with words that say what to
write.
"""

import re
from email.headerregistry import Address
from typing import NamedTuple

from app.validators.origins import host_name

# Characters that end a header's line, or that servers treat specially, must not get into a header.
# "=?" begins an encoded word, which may hold any of them.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|=\\?")
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LOCAL = re.compile(rf"{ATOM}(\.{ATOM})*")
FORM = "write Name <post@example.org>, or the address alone"


class Sender(NamedTuple):
    """The name and the address that mail comes from, in a form that every server understands."""

    name: str
    email: str

    def __str__(self) -> str:
        """Return it as it stands in a header, with quotes where the name needs them."""
        return str(Address(self.name, addr_spec=self.email)) if self.name else self.email


def sender(value: str) -> Sender:
    """Parse `Name <address>`, where the name may hold commas without quotes, or an address."""
    if CONTROL.search(value):
        raise ValueError("a sender holds no line break and no other control character")
    value = value.strip()
    if not value.endswith(">"):
        if "@" not in value:
            raise ValueError(f"it has no address; {FORM}")
        return Sender("", _email(value))
    name, _, email = value[:-1].rpartition("<")
    name = name.strip()
    if quoted := re.fullmatch(r'"((?:[^"\\]|\\.)*)"', name):
        name = re.sub(r"\\(.)", r"\1", quoted[1])
    elif "<" in name or ("," in name and "@" in name):
        raise ValueError(f"it names more than one address; {FORM}")
    elif '"' in name:
        raise ValueError(f"its name has a quote that nothing closes; {FORM}")
    return Sender(name, _email(email.strip()))


def _email(value: str) -> str:
    local, _, domain = value.rpartition("@")
    if "," in value or ";" in value or "@" in local:
        raise ValueError(f"it names more than one address; {FORM}")
    if not local.isascii():
        raise ValueError(
            "what stands before the @ has characters beyond ASCII, for which a server needs "
            "SMTPUTF8; use an address without them"
        )
    if not LOCAL.fullmatch(local) or len(local) > 64:
        raise ValueError(f"what stands before the @ is no part of an address; {FORM}")
    try:
        host = host_name(domain)
    except ValueError as error:
        raise ValueError(f"what follows the @ is wrong: {error}") from None
    if re.search(r":|\.[0-9]+$", host):
        raise ValueError(f"what follows the @ is an IP, which few servers accept; {FORM}")
    return f"{local}@{host}"


def mail_server(value: str) -> str:
    """Return the name or the IP of an SMTP server."""
    if "://" in value:
        raise ValueError(
            "it is a URL; write the host alone, and set MAIL_PORT, MAIL_USERNAME and MAIL_PASSWORD"
        )
    if "@" in value:
        raise ValueError(
            "it names a user; write the host alone, and set MAIL_USERNAME and MAIL_PASSWORD"
        )
    if re.fullmatch(r"[^:]+:[0-9]*|\[.*\]:[0-9]*", value):
        raise ValueError("it has a port; write the host alone, and set MAIL_PORT")
    if "/" in value:
        raise ValueError("it has a path; write the host alone")
    return host_name(value.removesuffix("."))
