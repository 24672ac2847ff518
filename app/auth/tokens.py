"""Random secrets, and the digests that are stored instead of them."""

import hashlib
import re
import secrets
import string
import zlib

from app.auth.models import Purpose
from app.validators.email_address import normalised

SECRET = re.compile("[A-Za-z0-9_-]{43}")

# Of API tokens, by which scanners of source code and of logs find them.
PREFIX = "qb_"
API_TOKEN = re.compile(PREFIX + "[0-9A-Za-z]{49}")
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM, CHECKSUM = 43, 6  # characters; 62^43 is more than 2^256, and 62^6 more than 2^32


def new_secret() -> str:
    """Make a secret of 256 random bits: 43 characters that are safe in URLs, headers, cookies.

    None begins as an API token does.
    """
    while (secret := secrets.token_urlsafe(32)).startswith(PREFIX):
        pass
    return secret


def new_api_token() -> str:
    """Make an API token: `qb_`, 43 random characters of base62, and the checksum of all that."""
    made = PREFIX + "".join(secrets.choice(BASE62) for _ in range(RANDOM))
    return made + _checksum(made)


def is_api_token(text: str) -> bool:
    """Return whether a text may be an API token: it has the form of one, and its checksum."""
    if not API_TOKEN.fullmatch(text):
        return False
    return _checksum(text[:-CHECKSUM]) == text[-CHECKSUM:]


def _checksum(text: str) -> str:
    """Return the CRC-32 of a text in base62, most significant digit first, with leading zeros."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM):
        rest, digit = divmod(rest, 62)
        digits = BASE62[digit] + digits
    return digits


def purpose_of(bearer: str) -> Purpose | None:
    """Return what a bearer token can be by its form, or None if the database need not be asked."""
    if bearer.startswith(PREFIX):
        return Purpose.TOKEN if is_api_token(bearer) else None
    return Purpose.SESSION if SECRET.fullmatch(bearer) else None


def digest(secret: str) -> bytes:
    """Return the SHA-256 of a secret, which is all that is stored of it.

    A slow hash would add nothing: 256 random bits cannot be guessed.
    """
    return hashlib.sha256(secret.encode()).digest()


def mailed_secret(text: str) -> str | None:
    """Return the secret that is the last part of a mailed link, or None if part of it is missing.

    Mail programs take what surrounds a link for a part of it, such as a full stop or a bracket.
    """
    found = SECRET.match(text.lstrip(" \t\r\n\"'<([*"))
    return found[0] if found else None


def email_key(email: str) -> str:
    """Return the key of an email address in Redis, in any spelling; Redis holds no addresses."""
    return digest(normalised(email)).hex()[:32]
