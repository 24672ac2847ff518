"""Explanations of the failures that commands expect."""

import errno
import re
from pathlib import Path

from alembic.util.exc import CommandError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from app.away import is_away
from app.errors import Problem
from app.health.findings import reason
from app.health.remedies import is_known, of_database, of_redis
from app.revisions import MERGE

NOTHING_CHANGED = "Nothing was changed."
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


FILE_REMEDIES = {
    errno.EACCES: "Run this as the user to whom it belongs.",
    errno.EPERM: "Run this as the user to whom it belongs.",
    errno.EROFS: "Run this where it can be written.",
    errno.ENOSPC: "Make room on the disk.",
    errno.EDQUOT: "Make room on the disk.",
}
# What the system says when something cannot be written, though it has been opened.
WRITING = {errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC}


def explain(error: Exception) -> str | None:
    """Explain an error that the user can fix, or return `None` for a bug of the application."""
    if isinstance(error, Problem):
        return str(error)
    if isinstance(error, CommandError):
        return _alembic(str(error))
    if isinstance(error, RedisError):
        return f"Redis cannot be used: {reason(error)}. {of_redis(error)}"
    if is_away(error) or is_known(error):
        return f"The database cannot be used: {reason(error)}. {of_database(error)}"
    if isinstance(error, DBAPIError):
        missing = NO_TABLE.search(str(error.orig))
        # Notes say what a command had done before.
        nothing = "" if getattr(error, "__notes__", []) else NOTHING_CHANGED
        remedy = "Run: python manage.py setup-dev (or db upgrade)" if missing else nothing
        return f"The database reports an error: {reason(error)}. {remedy}".strip()
    if isinstance(error, OSError) and error.strerror:
        what = error.filename or _nameless(error)
        remedy = FILE_REMEDIES.get(error.errno or 0, "")
        return f"{what} cannot be used: {error.strerror}. {remedy}".strip()
    return None


def _nameless(error: OSError) -> str:
    """Return what it is that cannot be used, of an error that does not name it."""
    if error.errno in WRITING:
        return "The output"
    try:
        Path.cwd()
    except FileNotFoundError:
        return "The folder in which this runs"
    return "A file or a connection"


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
