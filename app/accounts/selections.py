"""Bulk actions: one act on many accounts, with a preview of what it would do."""

from contextlib import suppress

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import people, roles
from app.accounts.people_schemas import Line, Report, Selection
from app.auth.identity import Identity
from app.auth.models import Role, User
from app.auth.scopes import require_session
from app.database import db
from app.errors import DomainError


async def act_on(session: AsyncSession, actor: Identity, chosen: Selection) -> Report:
    """Do one act to many accounts, in one transaction.

    Accounts to which it cannot be done are skipped, and the report says why. Raises `UnknownRole`,
    and `SessionRequired` for a token that would end sessions.
    """
    if chosen.act == "end-sessions":
        require_session(actor)
    await roles.take_turn(session, actor)
    role = await roles.role_named(session, chosen.role or "") if chosen.act == "role" else None
    # Locked in one order, against deadlocks.
    query = select(User).where(User.id.in_(chosen.ids)).order_by(User.id)
    locked = (await session.execute(query.with_for_update())).scalars()
    users = {user.id: user for user in locked}
    lines = []
    for user_id in sorted(set(chosen.ids)):
        if (user := users.get(user_id)) is None:
            lines.append(Line(id=user_id, email="", done=False, reason="There is no such account."))
            continue
        line = Line(id=user_id, email=user.recipient, done=True)
        try:
            await _act(session, actor, user, chosen.act, role)
        except DomainError as error:
            line = line.model_copy(update={"done": False, "reason": error.message})
        lines.append(line)
    return Report(lines=lines)


async def _act(
    session: AsyncSession, actor: Identity, user: User, act: str, role: Role | None
) -> None:
    if role is not None:
        if user.role_id == role.id:
            raise people.WrongState("This person has the role already.")
        await people.give_role(session, actor, user, role)
        return
    functions = {
        "disable": people.disable_user,
        "enable": people.enable_user,
        "end-sessions": people.end_sessions_of,
        "delete": people.delete_user,
    }
    await functions[act](session, actor, user)


class _Preview(Exception):
    """Raised to roll a preview back."""


async def preview(actor: Identity, chosen: Selection) -> Report:
    """Return what `act_on` would report, by doing it and rolling back. Raises `UnknownRole`."""
    report = Report(lines=[])
    with suppress(_Preview):
        async with db.transaction() as session:
            report = await act_on(session, actor, chosen)
            raise _Preview
    return report
