"""The probe of accounts: does each have an address of its own, in the normal form?"""

import asyncio

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.health.findings import CheckMessage, Outcome, Services
from app.validators.email_address import normalised

# Addresses that are their own normal form, as the database can tell: nearly all. The others are
# looked at one by one.
PLAIN = "^[!-?\\[-~]+@[a-z0-9.-]*[a-z0-9-]$"
ENCODED = "%xn--%"
BATCH = 1000
SHOWN = 20  # accounts that are named in one finding


async def emails(services: Services) -> list[Outcome]:
    """Probe for addresses that are not stored in their normal form.

    A migration left them as they were where two accounts have one address. Their owners log in by
    typing it exactly as stored.
    """
    if not services.database_usable:
        return []  # the probe of the database, which comes first, says so
    async with asyncio.timeout(services.patience), AsyncSession(services.engine) as session:
        found = await _not_normal(session)
        lines = [await _line(session, *each) for each in found[:SHOWN]]
    if not found:
        return []
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    message = f"Addresses that are not in their normal form: {'; '.join(lines)}{more}."
    hint = (
        "Where no other account has the address, run: "
        "UPDATE users SET email = '<the normal form>' WHERE id = <its number>. "
        "Where two accounts have one address, ask its owner which one to keep, delete the other or "
        "give it another address, and run the same for the one that is kept."
    )
    return [Outcome("emails", "ok", "some to merge", CheckMessage("qb.W050", message, hint))]


async def _not_normal(session: AsyncSession) -> list[tuple[int, str, str]]:
    """Return id, address and normal form of each account whose address is not normal."""
    suspect = ~User.email.regexp_match(PLAIN) | User.email.like(ENCODED)
    found: list[tuple[int, str, str]] = []
    rows = await session.stream(select(User.id, User.email).where(suspect).order_by(User.id))
    async for part in rows.partitions(BATCH):
        found += [
            (key, email, normal) for key, email in part if (normal := normalised(email)) != email
        ]
        await asyncio.sleep(0)
    return found


async def _line(session: AsyncSession, user_id: int, email: str, normal: str) -> str:
    query = select(User.id).where(User.email == normal)
    other = (await session.execute(query)).scalar_one_or_none()
    whose = f"which user {other} has" if other else f"its normal form is {normal}"
    return f"user {user_id} has {email}, {whose}"
