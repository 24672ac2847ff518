"""Parse what reverse proxies say of a request: X-Forwarded-For, X-Forwarded-Proto, Forwarded.

Each proxy adds to the right of what it received. Everything to the left of what the trusted proxies
wrote may be forged, so lists are split from the right and only the right entries are parsed.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

# Headers that proxies add. With any of them, the request may come from another machine.
PROXY_HEADERS = (
    b"x-forwarded",
    b"forwarded",
    b"via",
    b"x-real-ip",
    b"cf-",
    b"true-client-ip",
    b"x-client-ip",
    b"x-cluster",
)

PORT = r":(\d{1,5}|_[A-Za-z0-9._-]+)"
WITH_PORT = re.compile(rf"\[(?P<v6>[^\]]*)\]({PORT})?|(?P<v4>[0-9.]+){PORT}")
SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
# Characters of a Forwarded header that are looked at, from its end: ten proxies write fewer.
FORWARDED_LENGTH = 4096


def proxy_headers(scope: Any) -> dict[str, str]:
    """Return those headers of a request that only proxies have a reason to send.

    Names are in lower case; several lines of one header are joined by commas.
    """
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        if raw.lower().startswith(PROXY_HEADERS):
            name, text = raw.decode("latin1").lower(), value.decode("latin1")
            found[name] = f"{found[name]},{text}" if name in found else text
    return found


def values(headers: dict[str, str], name: str) -> list[str]:
    """Return the entries of a header in order; none if all are blank.

    A blank entry among others keeps its place: without it, the next one to the left, which a client
    may have written, would be taken for a proxy's.
    """
    entries = [part.strip() for part in headers.get(name, "").split(",")]
    return entries if any(entries) else []


def forwarded(headers: dict[str, str], parameter: str) -> list[str]:
    """Return a parameter, such as "for", of each element of `Forwarded` (RFC 7239), in order.

    An element without it counts as a blank entry. None are returned if all are blank.
    """
    text = headers.get("forwarded", "")[-FORWARDED_LENGTH:]
    elements, element = [], None
    for part in reversed(text.split(",")):
        element = part if element is None else f"{part},{element}"
        if element.count('"') % 2 == 0:  # otherwise the comma stands between quotes
            elements.append(_pairs(element).get(parameter, ""))
            element = None
    return elements[::-1] if any(elements) else []


def entry(entries: Sequence[str], proxies: int) -> str | None:
    """Return the entry that the outermost of the proxies wrote, None without entries.

    If there are fewer entries, the request passed by some of the proxies, and the first entry was
    written by the outermost of the others.
    """
    return entries[-min(proxies, len(entries))] if entries else None


def parse_ip(text: str) -> str | None:
    """Return the ip in an entry, None for `unknown`, `_hidden`, `unix:` and whatever else.

    A port, quotes, brackets and a zone are dropped; an IPv4-mapped address becomes IPv4.
    """
    text = _unquoted(text)
    if found := WITH_PORT.fullmatch(text):
        text = found["v6"] or found["v4"] or ""
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


def parse_scheme(text: str) -> str | None:
    """Return "http" or "https", None for anything else."""
    return SCHEMES.get(_unquoted(text).lower())


def _pairs(element: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in element.split(";"))
    return {name.strip().lower(): _unquoted(value) for name, _, value in pairs}


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == '"' else text
