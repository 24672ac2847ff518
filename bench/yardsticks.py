"""Bare Quart routes that tell how fast the same work could be: `hypercorn bench.yardsticks:app`.

They do what a request of the application's needs least: answer with JSON, and look up a session
with its user and role. They check no rate limit, log nothing and set no security headers.
"""

import os
from collections.abc import Mapping
from typing import Any

import asyncpg
from quart import Quart, ResponseReturnValue, request
from sqlalchemy import bindparam, make_url, select
from sqlalchemy.ext.asyncio import create_async_engine

from app.auth.models import Credential, Role, User
from app.auth.tokens import digest

app = Quart(__name__)

CONNECTIONS = 10  # as the application's own pool

BY_HAND = """
SELECT u.id, u.email, u.first_name, u.last_name, u.confirmed, u.created_at, r.name, r.permissions,
       c.id AS credential_id, c.purpose, c.last_used_at, c.expires_at
FROM credentials c JOIN users u ON u.id = c.user_id JOIN roles r ON r.id = u.role_id
WHERE c.digest = $1 AND c.expires_at > now() AND u.disabled_at IS NULL
"""

users, roles, credentials = User.__table__, Role.__table__, Credential.__table__
BY_CORE = (
    select(
        users.c.id,
        users.c.email,
        users.c.first_name,
        users.c.last_name,
        users.c.confirmed,
        users.c.created_at,
        roles.c.name,
        roles.c.permissions,
        credentials.c.id.label("credential_id"),
        credentials.c.purpose,
        credentials.c.last_used_at,
        credentials.c.expires_at,
    )
    .join_from(credentials, users, credentials.c.user_id == users.c.id)
    .join(roles, users.c.role_id == roles.c.id)
    .where(credentials.c.digest == bindparam("digest"), users.c.disabled_at.is_(None))
)


@app.before_serving
async def connect() -> None:
    """Open both pools."""
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql")
    app.extensions["asyncpg"] = await asyncpg.create_pool(
        host=url.query["host"],
        user=url.username,
        database=url.database,
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
    )
    app.extensions["core"] = create_async_engine(
        url.set(drivername="postgresql+asyncpg"), pool_size=CONNECTIONS, max_overflow=0
    )


def secret() -> str:
    """Return the token that the request carries."""
    return request.headers["Authorization"].removeprefix("Bearer ")


def shown(row: Mapping[str, Any]) -> ResponseReturnValue:
    """Return an answer as large as the application's."""
    return {
        "id": row["id"],
        "email": row["email"],
        "first_name": row["first_name"],
        "last_name": row["last_name"],
        "confirmed": row["confirmed"],
        "role": row["name"],
        "created_at": row["created_at"].isoformat(),
    }


@app.get("/json")
async def json() -> ResponseReturnValue:
    """Answer with a constant."""
    return {"status": "ok"}


@app.get("/asyncpg")
async def by_asyncpg() -> ResponseReturnValue:
    """Look up a session with its user and role by asyncpg alone."""
    async with app.extensions["asyncpg"].acquire() as connection:
        return shown(await connection.fetchrow(BY_HAND, digest(secret())))


@app.get("/core")
async def by_core() -> ResponseReturnValue:
    """Look up a session with its user and role by SQLAlchemy Core, with a statement built once."""
    async with app.extensions["core"].connect() as connection:
        rows = await connection.execute(BY_CORE, {"digest": digest(secret())})
        return shown(rows.mappings().one())
