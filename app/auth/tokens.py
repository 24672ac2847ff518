"""Random secrets, and the digests that are stored instead of them."""

import hashlib
import secrets


def new_secret() -> str:
    """Make a secret of 256 random bits: 43 characters that are safe in URLs, headers, cookies."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Return the SHA-256 of a secret, which is all that is stored of it.

    A slow hash would add nothing: 256 random bits cannot be guessed.
    """
    return hashlib.sha256(secret.encode()).digest()


def email_key(email: str) -> str:
    """Return the key of an email address in Redis, so that Redis holds no addresses."""
    return digest(email).hex()[:32]
