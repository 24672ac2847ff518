"""Hosts, and the URLs of sites, in the one form in which browsers send them.

Each function returns that form, and raises `ValueError` with words that say what to write.
"""

import ipaddress
import re
from functools import lru_cache

import idna

EXAMPLE = "https://app.example.com"
LONGEST = 300  # characters of an origin: a host has at most 253
PORTS = {"http": 80, "https": 443}

URL = re.compile(r"(?s)(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<place>[^/?#\\]*)(?P<rest>.*)")
PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(:(?P<port>[0-9]*))?")
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


def base_url(value: str) -> str:
    """Return the URL of a site as browsers send it in `Origin`: https://app.example.com."""
    canonical, rest = _split(value)
    if rest.startswith("/") and rest.strip("/").partition("?")[0].partition("#")[0]:
        raise ValueError(
            "this application cannot be served below a path; give it a host of its own, such as "
            f"{EXAMPLE}"
        )
    return _without_rest(canonical, rest)


def origin(value: str) -> str:
    """Return an origin as browsers send it: https://app.example.com."""
    if "*" in value:
        raise ValueError(f"a wildcard matches nothing; list each origin, such as {EXAMPLE}")
    canonical, rest = _split(value)
    return _without_rest(canonical, rest)


def sent_origin(header: str) -> str:
    """Return an `Origin` header in the form of `origin`; one that is no origin as it is."""
    return _sent_origin(header) if len(header) <= LONGEST else header


def host_name(value: str) -> str:
    """Return the name of a host in lower case and in ASCII, or an IP as it is written shortest."""
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        address = ipaddress.ip_address(inner)
    except ValueError:
        return _name(value)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise ValueError("an IPv6 address with a zone is no name of a host")
    return str(address)


@lru_cache(256)
def _sent_origin(header: str) -> str:
    try:
        return origin(header)
    except ValueError:
        return header


def _split(value: str) -> tuple[str, str]:
    """Return scheme, host and port as browsers write them, and what follows them."""
    if not (found := URL.fullmatch(value)) or found["scheme"].lower() not in PORTS:
        raise ValueError(f"it begins with https:// or http://, such as {EXAMPLE}")
    scheme, place = found["scheme"].lower(), found["place"]
    if "@" in place:
        raise ValueError("it names a user or a password; write the scheme and the host alone")
    if not (parts := PLACE.fullmatch(place)):
        raise ValueError(f"{place!r} is not a host, or a host and a port")
    host = host_name(parts["host"])
    host = f"[{host}]" if ":" in host else host
    number = parts["port"] or str(PORTS[scheme])
    if len(number) > 5 or not 0 < int(number) < 65536:
        raise ValueError("a port is a number from 1 to 65535")
    default = int(number) == PORTS[scheme]
    return f"{scheme}://{host}" if default else f"{scheme}://{host}:{int(number)}", found["rest"]


def _without_rest(canonical: str, rest: str) -> str:
    if rest not in ("", "/"):
        raise ValueError(f"nothing may follow the host; write {canonical}")
    return canonical


def _name(value: str) -> str:
    if not value:
        raise ValueError("the host is missing")
    if re.search(r"\s|,|;", value):
        raise ValueError("a host has no spaces, commas or semicolons")
    try:
        # As browsers do: lower case, full-width letters and dots become ordinary ones.
        labels = idna.uts46_remap(value, std3_rules=False, transitional=False).split(".")
        ascii_labels = [
            label if label.isascii() else idna.alabel(label).decode() for label in labels
        ]
    except idna.IDNAError:
        raise ValueError(f"{value[:60]!r} is not the name of a host") from None
    name = ".".join(ascii_labels)
    if name.endswith("."):
        raise ValueError("remove the dot at the end of the host")
    if len(name) > 253 or not all(map(LABEL.fullmatch, ascii_labels)):
        raise ValueError(f"{value[:60]!r} is not the name of a host")
    if ascii_labels[-1].isdigit() or re.fullmatch("0x[0-9a-f]*", ascii_labels[-1]):
        raise ValueError(
            f"{value[:60]!r} looks like an IPv4 address but is not four numbers from 0 to 255"
        )
    return name
