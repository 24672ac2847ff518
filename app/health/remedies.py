"""What to do about a database or a Redis that cannot be used, by the kind of its error."""

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from sqlalchemy.exc import DBAPIError

from app.away import code_of

# By the beginning of the code of PostgreSQL, or of the name of SQLite.
# https://www.postgresql.org/docs/current/errcodes-appendix.html, https://www.sqlite.org/rescode.html
DATABASE = {
    "28": "Correct the user and the password in DATABASE_URL.",
    "3D000": "Create it, or correct DATABASE_URL.",
    "53100": "Make room on its disk.",
    "53300": "It has no connection left: end others, or raise its max_connections.",
    "55P03": "Another transaction holds what this needs. Try again when that has ended.",
    "57014": "It took longer than DATABASE_STATEMENT_TIMEOUT allows.",
    "57P": "It is starting or stopping. Try again in a moment.",
    "40": "Another transaction was in the way. Try again.",
    "25P03": "The transaction was idle for longer than DATABASE_IDLE_TIMEOUT allows. Try again.",
    "25006": "It is a standby, or was made read-only: DATABASE_URL has to name the primary.",
    "SQLITE_BUSY": "Another process writes to it. Try again when that has ended.",
    "SQLITE_LOCKED": "Another process writes to it. Try again when that has ended.",
    "SQLITE_CANTOPEN": "May this user read and write the file, and the folder that it is in?",
    "SQLITE_READONLY": "May this user write the file, and the folder that it is in?",
    "SQLITE_FULL": "Make room on its disk.",
    "SQLITE_IOERR": "Is its disk full or damaged?",
    "SQLITE_NOTADB": "Is DATABASE_URL the path of another file?",
    "SQLITE_CORRUPT": "Restore it from a backup.",
}
IS_IT_RUNNING = "Is it running, and is DATABASE_URL right?"

REDIS: dict[type[RedisError], str] = {
    AuthenticationError: "Correct the user and the password in REDIS_URL.",
    NoPermissionError: "Its ACL has to let this user in: see docs/deploying.md.",
    BusyLoadingError: "It is starting. Try again in a moment.",
    OutOfMemoryError: "Raise its maxmemory, or set its maxmemory-policy to evict keys.",
    ReadOnlyError: "It is a replica: REDIS_URL has to name the primary.",
}
REDIS_RUNS = "Is it running, and is REDIS_URL right?"


def is_known(error: BaseException) -> bool:
    """Tell whether the kind of an error says what to do about the database."""
    return _known(error) is not None


def of_database(error: BaseException) -> str:
    """Return what to do about a database that fails with this error."""
    return _known(error) or IS_IT_RUNNING


def of_redis(error: BaseException) -> str:
    """Return what to do about a Redis that fails with this error."""
    return next((words for kind, words in REDIS.items() if isinstance(error, kind)), REDIS_RUNS)


def _known(error: BaseException) -> str | None:
    if not isinstance(error, DBAPIError):
        return None
    code = code_of(error)
    return next((words for kind, words in DATABASE.items() if code.startswith(kind)), None)
