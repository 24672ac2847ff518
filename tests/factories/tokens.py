"""API tokens for tests."""

from datetime import timedelta

from app.auth.models import Credential, Purpose
from app.auth.scopes import Scope
from app.auth.tokens import digest, new_api_token
from app.database import db, utcnow


def token_row(user_id: int, secret: str, *scopes: str, days: float = 1) -> Credential:
    """Return the row of a token, with all scopes unless some are given."""
    now = utcnow()
    return Credential(
        purpose=Purpose.TOKEN,
        digest=digest(secret),
        user_id=user_id,
        label="Robin's program",
        scopes=" ".join(scopes or Scope),
        created_at=now,
        last_used_at=now,
        expires_at=now + timedelta(days=days),
    )


async def make_token(user_id: int, *scopes: str, days: float = 1) -> str:
    """Give somebody a token; returns its secret."""
    secret = new_api_token()
    async with db.transaction() as session:
        session.add(token_row(user_id, secret, *scopes, days=days))
    return secret


def bearer(secret: str) -> dict[str, str]:
    """Return the header of a program with this token."""
    return {"Authorization": f"Bearer {secret}"}
