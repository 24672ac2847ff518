"""The data export: what is stored about a user, to which each feature adds its own part."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_core import to_jsonable_python
from quart import Quart, current_app
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.identity import Identity

Load = Callable[[AsyncSession, Identity], Awaitable[Any]]


def add_export(app: Quart, name: str, load: Load) -> None:
    """Add a part to the data export, by page and by API. A feature calls this from its `init_app`.

    `load` gets a session and the user who asks, and returns plain values: rows as dictionaries,
    without secrets.
    """
    parts: dict[str, Load] = app.extensions.setdefault("exports", {})
    if name in parts:
        raise ValueError(f"Two parts of the data export are named {name!r}.")
    parts[name] = load


async def export_data(session: AsyncSession, actor: Identity) -> dict[str, Any]:
    """Return what is stored about the actor, as JSON has it, by the name of each part."""
    parts: dict[str, Load] = current_app.extensions["exports"]
    return {name: to_jsonable_python(await load(session, actor)) for name, load in parts.items()}
