"""Random secrets, and the digests that are stored instead of them."""

import hashlib
import re
import secrets

from app.validators.email_address import normalised

SECRET = re.compile("[A-Za-z0-9_-]{43}")


def new_secret() -> str:
    """Make a secret of 256 random bits: 43 characters that are safe in URLs, headers, cookies."""
    return secrets.token_urlsafe(32)


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
