"""How many people there are, for the dashboard: counted on request, or by a scheduled job."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import figures
from app.auth.models import Role, User
from app.auth.states import AccountState
from app.counting import Count, count
from app.database import db, utcnow
from app.web.plots import plot

SIGN_UPS = "sign-ups"
WEEK = timedelta(days=7)


async def load_card() -> dict[str, Any]:
    """Load the dashboard's card: people by state, those who are new, and sign-ups by day."""
    async with db.session() as session:
        return {
            "people": await _people(session),
            "new": await _people(session, User.created_at >= utcnow() - WEEK),
            "states": {
                state: await _in_state(session, state)
                for state in AccountState
                if state is not AccountState.ACTIVE
            },
            "plot": plot("New accounts", await figures.last_days(session, SIGN_UPS)),
        }


async def _people(session: AsyncSession, *conditions: ColumnElement[bool]) -> Count:
    return await count(session, select(literal(1)).select_from(User).where(*conditions))


async def _in_state(session: AsyncSession, state: AccountState) -> Count:
    # Naming every role lets the index serve, which begins with the role.
    return await _people(session, User.role_id.in_(select(Role.id)), User.state == state)


async def keep_sign_ups() -> None:
    """Count the accounts that were made on each of the last days."""
    async with db.transaction() as session:
        await figures.count_days(session, SIGN_UPS, User.created_at)
