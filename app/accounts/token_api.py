"""API tokens as JSON, under /api/v1/account/tokens."""

import asyncio
from uuid import UUID

from quart import Response, ResponseReturnValue
from quart_schema import validate_request, validate_response

from app.accounts import tokens
from app.accounts.api import accounts_api
from app.accounts.token_schemas import NewTokenOut, TokenIn, TokensOut
from app.accounts.tokens import ScopeNotAllowed, TooManyTokens
from app.database import db
from app.web.access import confirmed, limit, reauthenticated, session_only, signed_in
from app.web.api import raises
from app.web.identity import identity


@accounts_api.get("/account/tokens")
@signed_in
@limit("API_LIMIT")
@validate_response(TokensOut)
async def list_tokens() -> TokensOut:
    """List the caller's API tokens, without their secrets."""
    async with db.session() as session:
        rows = await tokens.list_tokens(session, identity())
    return await asyncio.to_thread(TokensOut.of, rows)


@accounts_api.post("/account/tokens")
@reauthenticated
@confirmed
@limit("API_LIMIT")
@raises(ScopeNotAllowed, TooManyTokens)
@validate_request(TokenIn)
@validate_response(NewTokenOut, 201)
async def make_token(data: TokenIn) -> tuple[NewTokenOut, int]:
    """Make an API token.

    The answer shows its secret, once. The owner of the account is told by mail.
    """
    async with db.transaction() as session:
        made = await tokens.make_token(session, identity(), data)
    return await asyncio.to_thread(NewTokenOut.made, made.row, made.secret), 201


@accounts_api.delete("/account/tokens/<uuid:token_id>")
@session_only
@signed_in
@limit("API_LIMIT")
async def end_token(token_id: UUID) -> ResponseReturnValue:
    """End one of the caller's API tokens."""
    async with db.transaction() as session:
        await tokens.end_token(session, identity(), token_id)
    return Response(status=204)
