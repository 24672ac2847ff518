"""Random secrets, and the digests that are stored in their place."""

import hashlib
import secrets


def new_secret() -> str:
    """A secret of 256 random bits, as 43 characters that are safe in addresses, headers and
    cookies.
    """
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is stored of a secret: its SHA-256. A slow hash would add nothing to 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()


def email_key(email: str) -> str:
    """What stands for an e-mail address in Redis, so that it holds nobody's."""
    return digest(email).hex()[:32]
