"""Explanations of the failures that commands expect."""

import re

from alembic.util.exc import CommandError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from app.away import is_away
from app.errors import Problem
from app.health.findings import reason
from app.revisions import MERGE

NO_TABLE = re.compile(r"no such table|relation .* does not exist")

# A difference in a message of Alembic: its kind, and the name of the table or of the constraint.
CHANGE = re.compile(r"\('(\w+)', (?:None, )?(?:Table\(|Index\(|CheckConstraint\(.*?name=)?'(\w+)'")

# The beginning of a message of Alembic, and what to do about it.
REMEDIES = {
    "Target database is not up to date": "Run first: python manage.py db upgrade",
    "Can't locate revision": (
        "The database has a migration that this code lacks: use the code that has it. If the table "
        "alembic_version is another application's, give this one a database of its own."
    ),
    "Multiple head": MERGE,
}


def explain(error: Exception) -> str | None:
    """Explain an error that the user can fix, or return `None` for a bug of the application."""
    if isinstance(error, Problem):
        return str(error)
    if isinstance(error, CommandError):
        return _alembic(str(error))
    if isinstance(error, RedisError):
        return f"Redis cannot be used: {reason(error)}. Is it running, and is REDIS_URL right?"
    if isinstance(error, DBAPIError) and not is_away(error):
        missing = NO_TABLE.search(str(error.orig))
        remedy = (
            " Run: python manage.py setup-dev (or db upgrade)"
            if missing
            else " Nothing was changed."
        )
        return f"The database reports an error: {reason(error)}.{remedy}"
    if is_away(error):
        return (
            f"The database cannot be used: {reason(error)}. Is it running, and is DATABASE_URL "
            "right?"
        )
    return None


def _alembic(text: str) -> str:
    if text.startswith("New upgrade operations detected"):
        changes = CHANGE.findall(text)
        listed = ", ".join(f"{change} {name}" for change, name in changes)
        return (
            f"Models and migrations differ{f' ({listed})' if listed else ''}. "
            "Run: python manage.py db migrate -m 'What it does'"
        )
    remedy = next((remedy for words, remedy in REMEDIES.items() if text.startswith(words)), "")
    return f"Alembic says: {text} {remedy}".strip()
